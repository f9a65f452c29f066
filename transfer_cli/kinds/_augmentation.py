"""Augmentation of a whole batch of pictures at once, with separate random numbers for each picture. Torch.
weak: a shift by up to an eighth of the side with reflected borders, and mirroring if that keeps the label.
strong: weak, then brightness, contrast and saturation, then one grey square (cutout, DeVries & Taylor 2017,
arXiv:1708.04552). All random numbers of a batch come from one call, so they do not depend on the pictures."""

from typing import TYPE_CHECKING

import numpy as np

from transfer_cli.data.placement import sent
from transfer_cli.lazy import Lazy

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = Lazy("torch")

POLICIES = ("none", "weak", "strong")
JITTER = 0.4  # factors are in 1 - JITTER .. 1 + JITTER, as in recipes of torchvision
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601
DRAWS = 8  # random numbers per picture


def augment(pixels: "Tensor", policy: str, rng: np.random.Generator, *, flip: bool = True) -> "Tensor":
    """pixels [B, C, H, W], uint8 or float in 0..255 -> the same shape and scale; `none` and `weak` keep the
    dtype, `strong` returns float32. `flip=False` never mirrors (a mirrored 2 is not a 2). Deterministic given the state
    of `rng`. Raises ValueError for an unknown policy."""
    if policy not in POLICIES:
        raise ValueError(f"policy {policy!r}, allowed {', '.join(POLICIES)}")
    if policy == "none":
        return pixels
    draws = sent(torch.from_numpy(rng.random((DRAWS, len(pixels)), dtype=np.float64)).float(), pixels.device)
    pixels = _shift(
        pixels, draws[0], draws[1], draws[2] < 0.5 if flip else torch.zeros_like(draws[2], dtype=torch.bool)
    )
    return pixels if policy == "weak" else _cutout(*_jitter(pixels, draws[3:6]), draws[6], draws[7])


def _shift(pixels: "Tensor", down: "Tensor", right: "Tensor", mirror: "Tensor") -> "Tensor":
    """Moves each picture by -H//8..H//8 rows and -W//8..W//8 columns, and mirrors it where `mirror` [B] is true."""
    batch, channels, height, width = pixels.shape
    rows, columns = _reflected(height, down), _reflected(width, right)
    columns = torch.where(mirror[:, None], columns.flip(1), columns)
    # Rows first, as contiguous blocks, then columns: one gather of single pixels would take three times as long.
    first = torch.arange(batch * channels, device=pixels.device).view(batch, channels, 1) * height
    moved = pixels.reshape(-1, width).index_select(0, (first + rows[:, None]).flatten())
    return moved.view(pixels.shape).gather(3, columns[:, None, None].expand(pixels.shape))


def _reflected(size: int, draw: "Tensor") -> "Tensor":
    """Source positions [B, size] of a shift in -(size//8)..size//8, reflected at the borders."""
    reach = size // 8
    start = (draw * (2 * reach + 1)).long().clamp_(max=2 * reach) - reach
    places = (start[:, None] + torch.arange(size, device=draw.device)).abs_()
    return torch.minimum(places, 2 * (size - 1) - places)


def _jitter(pixels: "Tensor", draws: "Tensor") -> "tuple[Tensor, Tensor]":
    """Brightness b, contrast c and saturation s, combined into one linear map per picture:
    s (c b x + (1 - c) b m) + (1 - s) (c b l + (1 - c) b m) = s c b x + (1 - s) c b l + (1 - c) b m
    with pixels x, luma l and its mean m. Clamped to 0..255 once, at the end. Also returns the mean grey [B, 1, 1,
    1]."""
    pixels = pixels.float()
    bright, contrast, colour = (1 - JITTER + 2 * JITTER * draws)[:, :, None, None, None]
    luma = _luma(pixels)
    mean = bright * luma.mean((1, 2, 3), keepdim=True)
    colour = colour if pixels.shape[1] == 3 else torch.ones_like(colour)
    base = (luma * ((1 - colour) * contrast * bright)).add_((1 - contrast) * mean)
    return torch.addcmul(base, pixels, colour * contrast * bright).clamp_(0, 255), mean


def _luma(pixels: "Tensor") -> "Tensor":
    """Luma [B, 1, H, W] of colour pictures, else the mean over channels."""
    if pixels.shape[1] != 3:
        return pixels.mean(1, keepdim=True)
    red, green, blue = pixels[:, 0:1], pixels[:, 1:2], pixels[:, 2:3]
    return (red * LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def _cutout(pixels: "Tensor", fill: "Tensor", down: "Tensor", right: "Tensor") -> "Tensor":
    """Fills a square of half the side length with the mean grey of the picture. Its centre can be anywhere."""
    height, width = pixels.shape[2:]
    rows = _inside(height, down)[:, None, :, None]
    columns = _inside(width, right)[:, None, None, :]
    return torch.where(rows & columns, fill.clamp(0, 255), pixels)


def _inside(size: int, draw: "Tensor") -> "Tensor":
    """Mask [B, size] of positions within a quarter of the side length from the drawn centre."""
    centre = (draw * size).long()[:, None]
    distance = torch.arange(size, device=draw.device) - centre
    return (distance >= -(size // 4)) & (distance < size // 4)
