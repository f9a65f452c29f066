"""Random masks over image patches, and the reconstruction error of the masked pixels."""

import torch
from torch import Tensor, nn


def hidden_patches(pixels: Tensor, patch: int, share: float) -> Tensor:
    """Draws which pixels are hidden: bool [B, 1, H, W]. Each image of pixels [B, C, H, W] is divided into patches of
    `patch` x `patch` pixels (smaller at the right and lower border). round(`share` * patches) of them, at least one,
    are hidden; they are drawn from torch's default generator. He et al. 2021, arXiv:2111.06377, section 3, masking."""
    batch, _, height, width = pixels.shape
    down, right = -(-height // patch), -(-width // patch)
    noise = torch.rand(batch, down * right, device=pixels.device)
    count = max(1, round(share * down * right))
    patches = (noise.argsort(1).argsort(1) < count).view(batch, 1, down, right)
    return patches.repeat_interleave(patch, 2).repeat_interleave(patch, 3)[..., :height, :width]


def masked_error(prediction: Tensor, truth: Tensor, hidden: Tensor) -> Tensor:
    """Mean squared error () over hidden pixels. Shapes: prediction and truth [B, C, H, W], hidden bool [B, 1, H, W]
    with at least one true value."""
    errors = nn.functional.mse_loss(prediction.float(), truth.float(), reduction="none")
    return (errors * hidden).sum() / (hidden.sum() * truth.shape[1])
