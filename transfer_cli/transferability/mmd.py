"""Maximum mean discrepancy of two sets of features. Gretton et al. 2012, JMLR 13, lemma 6: the unbiased estimate."""

import torch
from torch import Tensor

from transfer_cli.predictors.knn import squared_distances


def mmd(source: Tensor, target: Tensor) -> Tensor:
    """Squared MMD () float64 under a Gaussian kernel whose width is the median distance of all rows. It is close to 0
    (possibly negative) for two samples of one distribution, and at most 2. Shapes: source [N, D], target [M, D], N and
    M >= 2. It does not change under rotation, shift and common scaling. Raises ValueError for other shapes."""
    if min(source.ndim, target.ndim) != 2 or min(len(source), len(target)) < 2 or source.shape[1] != target.shape[1]:
        raise ValueError(f"mmd: source {[*source.shape]}, target {[*target.shape]}; expected [rows >= 2, features]")
    rows, n = torch.cat([source, target]).double(), len(source)
    rows = rows - rows.mean(0)  # shifting changes no distance and reduces rounding errors
    squared = squared_distances(rows[None], rows[None])[0]
    pairs = squared[torch.triu(torch.ones_like(squared, dtype=torch.bool), 1)]
    kernel = torch.exp(-squared / pairs.median().clamp_min(1e-300))
    return _mean(kernel[:n, :n]) + _mean(kernel[n:, n:]) - 2 * kernel[:n, n:].mean()


def _mean(kernel: Tensor) -> Tensor:
    """Mean of a square matrix without its diagonal."""
    n = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))
