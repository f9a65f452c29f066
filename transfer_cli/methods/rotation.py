"""Pretraining by turned pictures: by how much was it turned?"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Loss, MethodInputs, ParamGroup, Progress, Stream
from transfer_cli.methods._pretext import Pretext, all_rows

TURNS = 4


class Rotation(Pretext):
    """RotNet, Gidaris et al. 2018, arXiv:1803.07728, eqs. 2 and 3: every picture of the batch is turned by 0, 90, 180
    and 270 degrees, and a linear head, not handed on, tells which. A step costs four times its rows. Raises ConfigError
    for a net that reads no pictures."""

    streams = {
        "source": Stream(labelled=False, views=("weak",), optional=True),
        "target": Stream(labelled=False, views=("weak",), side="target"),
    }

    def __init__(self, given: MethodInputs) -> None:
        super().__init__(given)
        self._pictures_only("rotation")
        self.turn = nn.Linear(given.net.width, TURNS)

    def param_groups(self) -> dict[str, ParamGroup]:
        return {"net": [self.net.backbone, self.turn]}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        pixels, turns = turned(all_rows(batch)["pixels"])
        scores = self.turn(self.net.features({"pixels": pixels})).float()
        right = (scores.argmax(1) == turns).float().mean()
        yield Loss("net", nn.functional.cross_entropy(scores, turns), {"right": right})


def turned(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures [B, C, S, S] turned by 0, 90, 180 and 270 degrees, [4 B, C, S, S], and by how many quarters [4 B]."""
    copies = torch.cat([pixels.rot90(quarters, (2, 3)) for quarters in range(TURNS)])
    return copies, torch.arange(TURNS, device=pixels.device).repeat_interleave(len(pixels))
