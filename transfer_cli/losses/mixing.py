"""Mixup and CutMix: inputs are mixed here, and the caller mixes the two losses with the same share, so labels stay
integers. Random numbers come from torch's default generator, which the engine reseeds before each step."""

import torch
from torch import Tensor

from transfer_cli.errors import ConfigError, Fault

Mixed = tuple[dict[str, Tensor], Tensor, float]


def mixup(inputs: dict[str, Tensor], alpha: float) -> Mixed:
    """Blends each row with another row: share * x + (1 - share) * x[order]. Zhang et al. 2018, arXiv:1710.09412.
    Returns (inputs, order [B], share in [0, 1]). Raises ConfigError for integer inputs, because tokens cannot be
    blended."""
    order, share = _partners(inputs, alpha)
    for name, x in inputs.items():
        if not x.is_floating_point():
            raise ConfigError(Fault("mixup", f"blends pictures and vectors; {name} are whole numbers", str(alpha)))
    return {name: torch.lerp(x[order], x, share) for name, x in inputs.items()}, order, share


def cutmix(inputs: dict[str, Tensor], alpha: float) -> Mixed:
    """Replaces a box of each image [B, C, H, W] by the same box of another image. Yun et al. 2019, arXiv:1905.04899,
    eq. 2. Returns (inputs, order [B], share of the area that was not replaced). Raises ConfigError if the inputs are
    not images."""
    if "pixels" not in inputs:
        raise ConfigError(Fault("cutmix", "cuts boxes out of pictures, and these rows are none", str(alpha)))
    order, share = _partners(inputs, alpha)
    pixels = inputs["pixels"]
    height, width = pixels.shape[-2:]
    side = (1 - share) ** 0.5
    top, bottom = _span(height, side)
    left, right = _span(width, side)
    mixed = pixels.clone()
    mixed[..., top:bottom, left:right] = pixels[order][..., top:bottom, left:right]
    area_left = 1 - (bottom - top) * (right - left) / (height * width)
    return {**inputs, "pixels": mixed}, order, area_left


def _partners(inputs: dict[str, Tensor], alpha: float) -> tuple[Tensor, float]:
    first = next(iter(inputs.values()))
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    return torch.randperm(len(first), device=first.device), share


def _span(length: int, side: float) -> tuple[int, int]:
    centre, half = int(torch.randint(length, ())), int(length * side) // 2
    return max(0, centre - half), min(length, centre + half)
