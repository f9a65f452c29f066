"""Grad-CAM: which places of a conv net's last feature maps speak for a class. Selvaraju et al. 2017, arXiv:1610.02391.
Letters of shapes: K maps of h x w."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Scores = Callable[[Tensor], Tensor]  # pixels [B, C, H, W] -> scores [B, classes]


def weighted(maps: Tensor, gradients: Tensor) -> Tensor:
    """maps and gradients [K, h, w] -> [h, w] >= 0: maps weighted by their mean gradient, what speaks against the class
    left out (eq. 1 and 2)."""
    return torch.einsum("k,khw->hw", gradients.mean((1, 2)), maps).clamp_min(0)


def gradcam(net: nn.Module, scores: Scores, pixels: Tensor, label: int) -> Tensor:
    """Map [h, w] of the last feature maps larger than one pixel for class `label`; pixels [1, C, H, W]."""
    with feature_maps(net) as found, torch.enable_grad():
        score = scores(pixels.detach().requires_grad_())[0, label]
        (gradients,) = torch.autograd.grad(score, found[-1])
    return weighted(found[-1][0].detach(), gradients[0])


@contextmanager
def feature_maps(net: nn.Module) -> Iterator[list[Tensor]]:
    """Collects what modules give [B, K, h, w], in the order of the pass."""
    found: list[Tensor] = []

    def keep(module: nn.Module, args: Any, out: Any) -> None:
        if isinstance(out, Tensor) and out.ndim == 4 and min(out.shape[2:]) > 1:
            found.append(out)

    handles = [module.register_forward_hook(keep) for module in net.modules()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
