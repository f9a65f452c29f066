"""Copies of modules that methods use: frozen parents and exponential moving averages. Imports torch only."""

import copy
from typing import Any

import torch
from torch import nn


class Frozen:
    """A read-only copy of a module, always in eval mode. No optimiser updates it and no state dict contains it."""

    def __init__(self, module: nn.Module) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


class Ema(nn.Module):
    """Exponential moving average of a module: parameters are averaged, buffers are copied.

    `decay` in [0, 1]: the weight of the old average in each update."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Updates the average with the current parameters of `module`, and copies its buffers."""
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - self.decay)
        for average, current in zip(self.module.buffers(), module.buffers(), strict=True):
            average.copy_(current)
