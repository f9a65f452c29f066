"""Maximum mean discrepancy of two clouds of features. Gretton et al. 2012, JMLR 13, lemma 6: the unbiased estimate."""

import torch
from torch import Tensor

from transfer_cli.predictors.knn import gaps


def mmd(source: Tensor, target: Tensor) -> Tensor:
    """Squared MMD under a Gaussian kernel whose width is the median distance of all rows; about 0 (may be below) for
    two draws of one distribution, at most 2. source [N, D], target [M, D], N and M >= 2 -> () float64. Turns, shifts
    and a common scale change nothing. Raises ValueError for other shapes."""
    if min(source.ndim, target.ndim) != 2 or min(len(source), len(target)) < 2 or source.shape[1] != target.shape[1]:
        raise ValueError(f"mmd: source {[*source.shape]}, target {[*target.shape]}; want [rows >= 2, features]")
    rows, n = torch.cat([source, target]).double(), len(source)
    rows = rows - rows.mean(0)  # distances do not feel it, their rounding does
    gap = gaps(rows[None], rows[None])[0]
    apart = gap[torch.triu(torch.ones_like(gap, dtype=torch.bool), 1)]
    kernel = torch.exp(-gap / apart.median().clamp_min(1e-300))
    return _mean(kernel[:n, :n]) + _mean(kernel[n:, n:]) - 2 * kernel[:n, n:].mean()


def _mean(kernel: Tensor) -> Tensor:
    """Mean of a square without its diagonal."""
    n = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))
