"""Between pixels in 0..1 and what a net reads: (x - mean) / std, channel by channel."""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Normalisation(NamedTuple):
    """`mean` and `std` [C, 1, 1] of the pixels that a net reads."""

    mean: Tensor
    std: Tensor

    def pixels(self, inputs: Tensor) -> Tensor:
        """Pixels in 0..1 of what a net reads [B, C, H, W]."""
        return inputs * self.std + self.mean

    def inputs(self, pixels: Tensor) -> Tensor:
        """What a net reads of pixels in 0..1 [B, C, H, W]."""
        return (pixels - self.mean) / self.std


def normalisation(spec: Any, device: torch.device) -> Normalisation | None:
    """Of an input spec; None where it does not describe pixels."""
    if not (hasattr(spec, "mean") and hasattr(spec, "std")):
        return None
    mean, std = (torch.tensor(x, dtype=torch.float32, device=device).view(-1, 1, 1) for x in (spec.mean, spec.std))
    return Normalisation(mean, std)
