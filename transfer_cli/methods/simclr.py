"""SimCLR: contrastive pretraining; views of one row are pulled together, views of different rows pushed apart."""

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import nn

from transfer_cli.contracts import Batch, Loss, MethodInputs, ParamGroup, Progress, Range, Stream
from transfer_cli.losses.contrast import nt_xent
from transfer_cli.methods._pretext import Pretext, together


class Simclr(Pretext):
    """SimCLR, Chen et al. 2020, arXiv:2002.05709: NT-Xent (eq. 1) over projections of two strong views. The projection
    head has one hidden layer as wide as the features and `width` outputs; it is not handed on.

    Source and target share a batch, but a row is contrasted only with rows of its own domain; otherwise separating the
    domains would lower the loss. The strong view here shifts, mirrors, recolours and erases parts of the image; the
    paper's random resized crops and blur are not used."""

    streams = {
        "source": Stream(labelled=False, views=("strong", "strong"), optional=True),
        "target": Stream(labelled=False, views=("strong", "strong"), side="target"),
    }
    coupled = True

    def __init__(
        self,
        given: MethodInputs,
        *,
        width: Annotated[int, Range(1)] = 128,
        temperature: Annotated[float, Range(0, above=True)] = 0.5,
    ) -> None:
        super().__init__(given)
        self.temperature = temperature
        features = given.net.width
        self.project = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, width))

    def param_groups(self) -> dict[str, ParamGroup]:
        return {"net": [self.net.backbone, self.project]}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        views = [view for rows in batch.values() for view in rows.views]
        sizes = [len(rows) for rows in batch.values() for _ in rows.views]
        projections = self.project(self.net.features(together(views))).split(sizes)
        losses = {
            name: nt_xent(projections[2 * i], projections[2 * i + 1], self.temperature) for i, name in enumerate(batch)
        }
        yield Loss("net", torch.stack(list(losses.values())).mean(), losses)
