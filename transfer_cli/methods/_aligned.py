"""Base class of domain adaptation: labelled source and unlabelled target rows in one forward pass."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Method, MethodInputs, ParamGroup, Stream
from transfer_cli.methods._joined import joined


class Both(NamedTuple):
    """The net's outputs for one batch of N source and M target rows: features [N, D] and [M, D], scores [N, C] and [M,
    C], and the loss () of the labelled rows."""

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
    """Source and target pass through the net together, so BatchNorm normalises over both. `few`: labelled target rows,
    if the run has them (`data.shots` or `data.fraction`); a labelled target row counts as much as a source row."""

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
        """Computes features, scores and the label loss of a batch in one forward pass of the net."""
        source, target, few = batch["source"], batch["target"], batch.get("few")
        inputs = joined(source.inputs, target.inputs)
        features = self.net.features(joined(inputs, few.inputs) if few else inputs)
        scores = self.head(features)
        sizes = [len(source), len(target), len(few) if few else 0]
        source_features, target_features, _ = features.split(sizes)
        source_scores, target_scores, few_scores = scores.split(sizes)
        loss = self.task.loss(source_scores, source)
        if few:
            loss = mean_of([(loss, sizes[0]), (self.task.loss(few_scores, few), sizes[2])])
        return Both(
            source_features.float(), target_features.float(), source_scores.float(), target_scores.float(), loss
        )

    def head(self, features: Tensor) -> Tensor:
        """Returns the scores [B, C] of the net's head for this task, from features [B, D]."""
        scores: Tensor = self.net.heads[self.task.head](features)
        return scores


def mean_of(parts: Sequence[tuple[Tensor, int]]) -> Tensor:
    """Mean () of losses, each weighted by its number of rows."""
    total = torch.stack([loss * rows for loss, rows in parts]).sum()
    return total / sum(rows for _, rows in parts)
