"""Conversion between pixels in [0, 1] and the inputs of a net: (x - mean) / std per channel."""

from typing import Any, NamedTuple

import torch
from torch import Tensor


class Normalisation(NamedTuple):
    """`mean` and `std` [C, 1, 1] by which a net's inputs are normalised."""

    mean: Tensor
    std: Tensor

    def pixels(self, inputs: Tensor) -> Tensor:
        """Converts inputs of a net [B, C, H, W] to pixels in [0, 1]."""
        return inputs * self.std + self.mean

    def inputs(self, pixels: Tensor) -> Tensor:
        """Converts pixels in [0, 1] [B, C, H, W] to inputs of a net."""
        return (pixels - self.mean) / self.std


def normalisation(spec: Any, device: torch.device) -> Normalisation | None:
    """The normalisation of an input spec; None if the spec does not describe pixels."""
    if not (hasattr(spec, "mean") and hasattr(spec, "std")):
        return None
    mean, std = (torch.tensor(x, dtype=torch.float32, device=device).view(-1, 1, 1) for x in (spec.mean, spec.std))
    return Normalisation(mean, std)
