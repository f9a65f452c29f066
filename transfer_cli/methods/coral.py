"""Deep CORAL: labelled source, unlabelled target, feature covariances drawn together."""

from collections.abc import Iterator
from typing import Annotated

import torch

from transfer_cli.contracts import Batch, Given, Loss, Method, Player, Progress, Range, Stream
from transfer_cli.losses.coral import coral


class Coral(Method):
    """Sun & Saenko 2016, arXiv:1607.01719, eq. 6: source cross-entropy + weight * CORAL(source, target features).
    Source and target pass through the net together, so that BatchNorm sees both."""

    streams = {"source": Stream(), "target": Stream(labelled=False)}
    coupled = True
    tasks = ("classify",)

    def __init__(self, given: Given, *, weight: Annotated[float, Range(0)] = 100.0) -> None:
        super().__init__()
        self.net, self.task, self.weight = given.net, given.tasks["source"], weight

    def players(self) -> dict[str, Player]:
        return {"net": [self.net]}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        source, target = batch["source"], batch["target"]
        both = {name: torch.cat([x, target.inputs[name]]) for name, x in source.inputs.items()}
        features = self.net.features(both)
        near, far = features.split([len(source), len(target)])
        label_loss = self.task.loss(self.net.heads[self.task.head](near), source)
        distance = coral(near.float(), far.float())
        value = label_loss + self.weight * distance
        yield Loss("net", value, {"label": label_loss, "coral": distance}, weight=len(source))
