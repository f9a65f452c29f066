"""Grad-CAM: which positions of a convolutional net's last feature maps support a class. Selvaraju et al. 2017,
arXiv:1610.02391. Shapes: K maps of h x w."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Scores = Callable[[Tensor], Tensor]  # pixels [B, C, H, W] -> scores [B, classes]


def weighted(maps: Tensor, gradients: Tensor) -> Tensor:
    """Weights maps [K, h, w] by their mean gradients [K, h, w] and sets negative values, which oppose the class, to 0
    (eqs. 1 and 2). Returns [h, w] >= 0."""
    return torch.einsum("k,khw->hw", gradients.mean((1, 2)), maps).clamp_min(0)


def gradcam(net: nn.Module, scores: Scores, pixels: Tensor, label: int) -> Tensor:
    """Returns the map [h, w] for class `label` of the last feature maps larger than one pixel; pixels [1, C, H, W]."""
    with feature_maps(net) as maps, torch.enable_grad():
        score = scores(pixels.detach().requires_grad_())[0, label]
        (gradients,) = torch.autograd.grad(score, maps[-1])
    return weighted(maps[-1][0].detach(), gradients[0])


@contextmanager
def feature_maps(net: nn.Module) -> Iterator[list[Tensor]]:
    """Collects the outputs [B, K, h, w] of modules in the order of the forward pass."""
    maps: list[Tensor] = []

    def collect(module: nn.Module, args: Any, out: Any) -> None:
        if isinstance(out, Tensor) and out.ndim == 4 and min(out.shape[2:]) > 1:
            maps.append(out)

    handles = [module.register_forward_hook(collect) for module in net.modules()]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()
