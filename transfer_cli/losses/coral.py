"""CORAL: the distance between the covariances of two sets of features."""

import torch
from torch import Tensor

from transfer_cli.losses.pairs import check_pair, full


def coral(source: Tensor, target: Tensor) -> Tensor:
    """Distance () between feature covariances, >= 0, and 0 if they are equal. Sun & Saenko 2016, arXiv:1607.01719, eq.
    1. Shapes: source [N, D], target [M, D], N and M >= 2. Raises ValueError for other shapes."""
    check_pair("coral", source, target, rows=2)
    # bf16 keeps 8 bits of each covariance, so their difference would be mostly rounding error.
    with torch.autocast(source.device.type, enabled=False):
        gap = torch.cov(full(source).T) - torch.cov(full(target).T)
    return gap.square().sum() / (4 * source.shape[1] ** 2)
