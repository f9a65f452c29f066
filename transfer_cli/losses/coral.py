"""CORAL: how far apart two clouds of features are in their covariances."""

import torch
from torch import Tensor


def coral(source: Tensor, target: Tensor) -> Tensor:
    """Distance between feature covariances, >= 0; 0 if they agree. Sun & Saenko 2016, arXiv:1607.01719, eq. 1.
    Shapes: source [N, D], target [M, D], N and M >= 2; returns (). Raises ValueError otherwise."""
    _check_pair(source, target)
    # A bf16 product keeps 8 bits of each covariance, and their difference would be rounding.
    with torch.autocast(source.device.type, enabled=False):
        gap = torch.cov(_full(source).T) - torch.cov(_full(target).T)
    return gap.square().sum() / (4 * source.shape[1] ** 2)


def _check_pair(source: Tensor, target: Tensor) -> None:
    for name, x in (("source", source), ("target", target)):
        if x.ndim != 2 or len(x) < 2:
            raise ValueError(f"coral: {name} {list(x.shape)}, wants [rows >= 2, features]")
    if source.shape[1] != target.shape[1]:
        raise ValueError(f"coral: {source.shape[1]} source features, {target.shape[1]} of target")


def _full(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
