"""The deletion test: an explanation is convincing only if the class becomes less probable when the marked part is
removed, and more so than when an equally large random part is removed. After Petsiuk et al. 2018, arXiv:1806.07421."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from transfer_cli.contracts import Inputs

SHARE = 0.2  # share of pixels or tokens that is marked
DRAWS = 10


class Deletion(NamedTuple):
    """Probability of the class for the whole input (`before`), `without` the marked part, and without equally large
    `random` parts (mean of DRAWS)."""

    before: float
    without: float
    random: float


def marked(values: Tensor, share: float = SHARE) -> Tensor:
    """Returns a bool mask of the largest `share` of the values, at least one value; of equal values the first ones."""
    count = max(1, round(share * values.numel()))
    chosen = torch.zeros(values.numel(), dtype=torch.bool, device=values.device)
    chosen[values.flatten().argsort(descending=True, stable=True)[:count]] = True
    return chosen.view(values.shape)


@torch.no_grad()
def of_pixels(scores: Callable[[Tensor], Tensor], pixels: Tensor, mask: Tensor, label: int) -> Deletion:
    """Deletion test for pixels [1, C, H, W] and mask [H, W]. The random parts have the shape of the mask, moved
    elsewhere; what leaves the image on one side enters on the other."""
    rng = np.random.default_rng(0)
    shifts = [tuple(int(rng.integers(1, side)) for side in mask.shape) for _ in range(DRAWS)]
    masks = torch.stack([torch.zeros_like(mask), mask, *(mask.roll(shift, (0, 1)) for shift in shifts)])
    probabilities = scores(pixels.masked_fill(masks[:, None], 0)).softmax(1)[:, label]
    return Deletion(float(probabilities[0]), float(probabilities[1]), float(probabilities[2:].mean()))


@torch.no_grad()
def of_tokens(scores: Callable[[Inputs], Tensor], inputs: Inputs, mask: Tensor, free: Tensor, label: int) -> Deletion:
    """Deletion test for one text: the tokens where mask [T] is true are removed. A random part has as many tokens,
    drawn from those where `free` [T] is true."""
    rng = np.random.default_rng(0)
    indices, count = free.nonzero()[:, 0].numpy(), int(mask.sum())

    def probability(removed: Tensor) -> float:
        remaining = {name: x[:, ~removed] for name, x in inputs.items()}
        return float(scores(remaining).softmax(1)[0, label]) if int((~removed).sum()) else float("nan")

    random = []
    for _ in range(DRAWS):
        removed = torch.zeros_like(mask)
        removed[torch.from_numpy(rng.choice(indices, count, replace=False))] = True
        random.append(probability(removed))
    return Deletion(probability(torch.zeros_like(mask)), probability(mask), float(np.mean(random)))
