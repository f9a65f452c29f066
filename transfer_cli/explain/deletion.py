"""The deletion test: a map persuades only if the class becomes less likely without what it marks, and less so without
as much of something else. After Petsiuk et al. 2018, arXiv:1806.07421."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from transfer_cli.contracts import Inputs

SHARE = 0.2  # of pixels or tokens, marked
DRAWS = 10


class Deletion(NamedTuple):
    """Probability of the class: of the whole, `without` what is marked, without as much at `random` (mean of DRAWS)."""

    before: float
    without: float
    random: float


def marked(values: Tensor, share: float = SHARE) -> Tensor:
    """The largest `share` of values of any shape, at least one, as bool; of equal ones the first."""
    count = max(1, round(share * values.numel()))
    chosen = torch.zeros(values.numel(), dtype=torch.bool, device=values.device)
    chosen[values.flatten().argsort(descending=True, stable=True)[:count]] = True
    return chosen.view(values.shape)


@torch.no_grad()
def of_pixels(scores: Callable[[Tensor], Tensor], pixels: Tensor, mask: Tensor, label: int) -> Deletion:
    """pixels [1, C, H, W], mask [H, W]. At random: the same shape moved elsewhere, over the edge to the other side."""
    rng = np.random.default_rng(0)
    moves = [tuple(int(rng.integers(1, side)) for side in mask.shape) for _ in range(DRAWS)]
    masks = torch.stack([torch.zeros_like(mask), mask, *(mask.roll(move, (0, 1)) for move in moves)])
    chances = scores(pixels.masked_fill(masks[:, None], 0)).softmax(1)[:, label]
    return Deletion(float(chances[0]), float(chances[1]), float(chances[2:].mean()))


@torch.no_grad()
def of_tokens(scores: Callable[[Inputs], Tensor], inputs: Inputs, mask: Tensor, free: Tensor, label: int) -> Deletion:
    """Tokens where mask [T] is true are taken out of the one text; at random: as many of those that are `free` [T]."""
    rng = np.random.default_rng(0)
    places, count = free.nonzero()[:, 0].numpy(), int(mask.sum())

    def chance(gone: Tensor) -> float:
        left = {name: x[:, ~gone] for name, x in inputs.items()}
        return float(scores(left).softmax(1)[0, label]) if int((~gone).sum()) else float("nan")

    others = []
    for _ in range(DRAWS):
        gone = torch.zeros_like(mask)
        gone[torch.from_numpy(rng.choice(places, count, replace=False))] = True
        others.append(chance(gone))
    return Deletion(chance(torch.zeros_like(mask)), chance(mask), float(np.mean(others)))
