"""Rotation prediction: pretraining by predicting by how much an image was rotated."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Loss, MethodInputs, ParamGroup, Progress, Stream
from transfer_cli.methods._pretext import Pretext, all_rows

TURNS = 4


class Rotation(Pretext):
    """RotNet, Gidaris et al. 2018, arXiv:1803.07728, eqs. 2 and 3: every image of the batch is rotated by 0, 90, 180
    and 270 degrees, and a linear head predicts the rotation. The head is not handed on. A step computes four times the
    rows of the batch. Raises ConfigError for a net that does not read images."""

    streams = {
        "source": Stream(labelled=False, views=("weak",), optional=True),
        "target": Stream(labelled=False, views=("weak",), side="target"),
    }

    def __init__(self, given: MethodInputs) -> None:
        super().__init__(given)
        self._require_images("rotation")
        self.turn = nn.Linear(given.net.width, TURNS)

    def param_groups(self) -> dict[str, ParamGroup]:
        return {"net": [self.net.backbone, self.turn]}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        pixels, turns = rotated(all_rows(batch)["pixels"])
        scores = self.turn(self.net.features({"pixels": pixels})).float()
        accuracy = (scores.argmax(1) == turns).float().mean()
        yield Loss("net", nn.functional.cross_entropy(scores, turns), {"right": accuracy})


def rotated(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Returns images [B, C, S, S] rotated by 0, 90, 180 and 270 degrees as [4 B, C, S, S], and the number of quarter
    turns [4 B]."""
    copies = torch.cat([pixels.rot90(quarters, (2, 3)) for quarters in range(TURNS)])
    return copies, torch.arange(TURNS, device=pixels.device).repeat_interleave(len(pixels))
