"""Occlusion: how much less likely a class becomes where a patch of the picture is covered. Zeiler & Fergus 2014,
arXiv:1311.2901, section 4.2. Asks the net only for scores, so it works for every net."""

from collections.abc import Callable

import torch
from torch import Tensor

Scores = Callable[[Tensor], Tensor]
CHUNK = 64  # covered pictures a pass


@torch.no_grad()
def occlusion(scores: Scores, pixels: Tensor, label: int, step: int) -> Tensor:
    """Map [H, W] of pixels [1, C, H, W]: the mean fall of the probability of `label` over the patches that cover a
    pixel. Patches of 2 x `step` pixels a side, `step` apart, cover every pixel four times; covered is 0, the mean
    colour of what the net was trained on."""
    height, width = pixels.shape[2:]
    corners = [(top, left) for top in range(-step, height, step) for left in range(-step, width, step)]
    cover = torch.zeros(len(corners), height, width, dtype=torch.bool, device=pixels.device)
    for mask, (top, left) in zip(cover, corners):
        mask[max(0, top) : top + 2 * step, max(0, left) : left + 2 * step] = True
    before = scores(pixels).softmax(1)[0, label]
    parts = [scores(pixels.masked_fill(part[:, None], 0)).softmax(1)[:, label] for part in cover.split(CHUNK)]
    falls = before - torch.cat(parts)
    return torch.einsum("n,nhw->hw", falls, cover.to(falls.dtype)) / 4
