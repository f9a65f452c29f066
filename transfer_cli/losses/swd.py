"""Sliced Wasserstein distance: one-dimensional transport along random directions."""

import torch
from torch import Tensor

from transfer_cli.losses.pairs import check_pair, full


def swd(source: Tensor, target: Tensor, *, directions: int = 128) -> Tensor:
    """Mean over random unit directions of the squared 2-Wasserstein distance of the projections, >= 0. Rabin et al.
    2011, eq. 5; Lee et al. 2019, arXiv:1903.04064, eq. 5. Directions are drawn from torch's default generator.
    Shapes: source [N, D], target [M, D]; with N != M quantiles of the larger are read at those of the smaller;
    returns (). Raises ValueError for others."""
    check_pair("swd", source, target)
    drawn = torch.randn(source.shape[1], directions, device=source.device, dtype=full(source).dtype)
    with torch.autocast(source.device.type, enabled=False):
        axes = drawn / drawn.norm(dim=0)
        near, far = (full(x) @ axes for x in (source, target))
    near, far = near.sort(0).values, far.sort(0).values
    if len(near) != len(far):
        near, far = _level(near, far)
    return (near - far).square().mean()


def _level(near: Tensor, far: Tensor) -> tuple[Tensor, Tensor]:
    """Both at as many quantiles as the smaller sample has."""
    rows = min(len(near), len(far))
    places = (torch.arange(rows, device=near.device, dtype=near.dtype) + 0.5) / rows
    return torch.quantile(near, places, dim=0), torch.quantile(far, places, dim=0)
