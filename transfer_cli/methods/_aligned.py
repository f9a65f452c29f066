"""What the methods of domain adaptation share: labelled source and unlabelled target, seen by the net together."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Method, MethodInputs, ParamGroup, Stream
from transfer_cli.methods._joined import joined


class Both(NamedTuple):
    """What the net makes of a batch: features [N, D], [M, D], scores [N, C], [M, C], the loss () of the labels."""

    source: Tensor
    target: Tensor
    source_scores: Tensor
    target_scores: Tensor
    label_loss: Tensor

    @property
    def features(self) -> Tensor:
        """[N + M, D]"""
        return torch.cat([self.source, self.target])

    @property
    def scores(self) -> Tensor:
        """[N + M, C]"""
        return torch.cat([self.source_scores, self.target_scores])


class Aligned(Method):
    """Source and target pass through the net together, so that BatchNorm sees both. `few`: labelled target rows, where
    the run has them (`data.shots` or `data.fraction`); they count as source rows do."""

    streams = {
        "source": Stream(),
        "target": Stream(labelled=False),
        "few": Stream(side="target", optional=True),
    }
    coupled = True
    needs = ("classes",)

    def __init__(self, given: MethodInputs) -> None:
        super().__init__()
        self.net: Any = given.net
        self.task = given.tasks["source"]

    def param_groups(self) -> dict[str, ParamGroup]:
        return {"net": [self.net]}

    def both(self, batch: dict[str, Batch]) -> Both:
        source, target, few = batch["source"], batch["target"], batch.get("few")
        inputs = joined(source.inputs, target.inputs)
        features = self.net.features(joined(inputs, few.inputs) if few else inputs)
        scores = self.head(features)
        sizes = [len(source), len(target), len(few) if few else 0]
        near, far, _ = features.split(sizes)
        near_scores, far_scores, few_scores = scores.split(sizes)
        loss = self.task.loss(near_scores, source)
        if few:
            loss = mean_of([(loss, sizes[0]), (self.task.loss(few_scores, few), sizes[2])])
        return Both(near.float(), far.float(), near_scores.float(), far_scores.float(), loss)

    def head(self, features: Tensor) -> Tensor:
        """Scores [B, C] of the net's head for this task."""
        scores: Tensor = self.net.heads[self.task.head](features)
        return scores


def mean_of(parts: Sequence[tuple[Tensor, int]]) -> Tensor:
    """Mean () of losses, each weighted by its rows."""
    total = torch.stack([loss * rows for loss, rows in parts]).sum()
    return total / sum(rows for _, rows in parts)
