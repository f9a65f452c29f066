"""What every model family is: a Backbone (inputs -> features [B, D]) made for one InputSpec.

A family is a file of this folder with one Backbone of the file's name in CamelCase; the keyword-only
arguments of its `__init__` are the keys of its YAML. Shapes: B rows, C channels, H height, W width, D features."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault

MOST_PIXELS = 4096
MOST_CHANNELS = 64


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """The pictures a model eats: shorter side scaled to `size`, centre cut to `crop` x `crop`, `channels` values a
    pixel in [0, 1], then (x - mean) / std. Raises ConfigError when these cannot be."""

    channels: int
    size: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if faults := list(self._faults()):
            raise ConfigError(*faults)

    def _faults(self) -> Iterator[Fault]:
        for name, value, most in (("channels", self.channels, MOST_CHANNELS), ("size", self.size, MOST_PIXELS)):
            if not 1 <= value <= most:
                yield _fault(name, value, f"allowed 1 to {most}")
        if not 1 <= self.crop <= self.size:
            yield _fault("crop", self.crop, f"allowed 1 to size, {self.size}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                yield _fault(name, list(values), f"wants one number a channel, {self.channels}")
        if any(value <= 0 for value in self.std):
            yield _fault("std", list(self.std), "numbers > 0 only")

    def at_least(self, crop: int, who: str) -> None:
        """Raises ConfigError when the pictures are smaller than `who` can take."""
        if self.crop < crop:
            raise ConfigError(_fault("crop", self.crop, f"{who} needs {crop} pixels or more"))

    def blank(self, rows: int = 1, device: str = "cpu") -> Tensor:
        """Zeros [rows, C, crop, crop]."""
        return torch.zeros(rows, self.channels, self.crop, self.crop, device=device)


def _fault(name: str, value: Any, text: str) -> Fault:
    return Fault(f"model.input.{name}", text, str(value))


class Backbone(nn.Module):
    """Inputs -> features. For checkpoints of others: the net whose names they use sits at `inner` ("" is self),
    `classifier` is the name of its last linear layer, which is no part of the backbone, and tensors whose names
    begin with one of `dropped` are known to be left out (auxiliary heads)."""

    inner: str = ""
    classifier: str = ""
    dropped: tuple[str, ...] = ()

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, pixels: Tensor) -> Tensor:
        """pixels [B, C, H, W] -> features [B, D], D = `width`."""
        raise NotImplementedError

    def blocks(self) -> list[nn.Module]:
        """Modules from input to output; together they hold every parameter, each once."""
        raise NotImplementedError
