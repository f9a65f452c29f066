"""Pictures with hidden patches, and the error of guessing what is behind them."""

import torch
from torch import Tensor, nn


def hidden_patches(pixels: Tensor, patch: int, share: float) -> Tensor:
    """Which pixels are hidden: bool [B, 1, H, W]. Each picture of pixels [B, C, H, W] lies in patches of `patch` x
    `patch` (smaller at the lower right border); round(`share` of them), at least one, drawn from torch's generator, are
    hidden. He et al. 2021, arXiv:2111.06377, section 3, masking."""
    batch, _, height, width = pixels.shape
    down, right = -(-height // patch), -(-width // patch)
    noise = torch.rand(batch, down * right, device=pixels.device)
    count = max(1, round(share * down * right))
    patches = (noise.argsort(1).argsort(1) < count).view(batch, 1, down, right)
    return patches.repeat_interleave(patch, 2).repeat_interleave(patch, 3)[..., :height, :width]


def masked_error(made: Tensor, truth: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared error () over hidden pixels. made, truth [B, C, H, W], hidden bool [B, 1, H, W], some of it true."""
    gap = nn.functional.mse_loss(made.float(), truth.float(), reduction="none")
    return (gap * hidden).sum() / (hidden.sum() * truth.shape[1])
