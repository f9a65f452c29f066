"""CORAL: how far apart two clouds of features are in their covariances."""

import torch
from torch import Tensor

from transfer_cli.losses.pairs import check_pair, full


def coral(source: Tensor, target: Tensor) -> Tensor:
    """Distance between feature covariances, >= 0; 0 if they agree. Sun & Saenko 2016, arXiv:1607.01719, eq. 1.
    Shapes: source [N, D], target [M, D], N and M >= 2; returns (). Raises ValueError otherwise."""
    check_pair("coral", source, target, rows=2)
    # A bf16 product keeps 8 bits of each covariance, and their difference would be rounding.
    with torch.autocast(source.device.type, enabled=False):
        gap = torch.cov(full(source).T) - torch.cov(full(target).T)
    return gap.square().sum() / (4 * source.shape[1] ** 2)
