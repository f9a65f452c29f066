"""Occlusion: how much less probable a class becomes when a patch of the image is covered. Zeiler & Fergus 2014,
arXiv:1311.2901, section 4.2. It only needs scores, so it works for every net."""

from collections.abc import Callable

import torch
from torch import Tensor

Scores = Callable[[Tensor], Tensor]
CHUNK = 64  # covered images per forward pass


@torch.no_grad()
def occlusion(scores: Scores, pixels: Tensor, label: int, step: int) -> Tensor:
    """Returns the map [H, W] of pixels [1, C, H, W]: the mean decrease of the probability of `label` over the patches
    that cover a pixel. Patches have 2 x `step` pixels a side and a distance of `step`, so each pixel is covered four
    times. Covered pixels are 0, the mean colour of the training data."""
    height, width = pixels.shape[2:]
    corners = [(top, left) for top in range(-step, height, step) for left in range(-step, width, step)]
    cover = torch.zeros(len(corners), height, width, dtype=torch.bool, device=pixels.device)
    for mask, (top, left) in zip(cover, corners):
        mask[max(0, top) : top + 2 * step, max(0, left) : left + 2 * step] = True
    before = scores(pixels).softmax(1)[0, label]
    parts = [scores(pixels.masked_fill(part[:, None], 0)).softmax(1)[:, label] for part in cover.split(CHUNK)]
    decrease = before - torch.cat(parts)
    return torch.einsum("n,nhw->hw", decrease, cover.to(decrease.dtype)) / 4
