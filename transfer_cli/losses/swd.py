"""Sliced Wasserstein distance: one-dimensional optimal transport along random directions."""

import torch
from torch import Tensor

from transfer_cli.losses.pairs import check_pair, full


def swd(source: Tensor, target: Tensor, *, directions: int = 128) -> Tensor:
    """Squared 2-Wasserstein distance () of the projections onto random unit directions, averaged over directions; >= 0.
    Rabin et al. 2011, eq. 5; Lee et al. 2019, arXiv:1903.04064, eq. 5. Directions are drawn from torch's default
    generator. Shapes: source [N, D], target [M, D]; if N != M, both are read at as many quantiles as the smaller sample
    has rows. Raises ValueError for other shapes."""
    check_pair("swd", source, target)
    vectors = torch.randn(source.shape[1], directions, device=source.device, dtype=full(source).dtype)
    with torch.autocast(source.device.type, enabled=False):
        axes = vectors / vectors.norm(dim=0)
        source_projected, target_projected = (full(x) @ axes for x in (source, target))
    source_sorted, target_sorted = source_projected.sort(0).values, target_projected.sort(0).values
    if len(source_sorted) != len(target_sorted):
        source_sorted, target_sorted = _equal_length(source_sorted, target_sorted)
    return (source_sorted - target_sorted).square().mean()


def _equal_length(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Reduces both sorted samples to as many quantiles as the smaller sample has rows."""
    rows = min(len(source), len(target))
    levels = (torch.arange(rows, device=source.device, dtype=source.dtype) + 0.5) / rows
    return torch.quantile(source, levels, dim=0), torch.quantile(target, levels, dim=0)
