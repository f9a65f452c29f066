"""Distances between the means of two sets of features."""

import torch
from torch import Tensor

from transfer_cli.losses.pairs import check_pair, full


def euclidean(source: Tensor, target: Tensor) -> Tensor:
    """Squared distance () of the means divided by the number of features: ||m_s - m_t||^2 / D, >= 0. This is MMD with a
    linear kernel (Tzeng et al. 2014, arXiv:1412.3474). Shapes: source [N, D], target [M, D]. Raises ValueError for
    other shapes."""
    check_pair("euclidean", source, target)
    return (full(source).mean(0) - full(target).mean(0)).square().mean()


def cosine(source: Tensor, target: Tensor) -> Tensor:
    """1 - cosine () of the angle between the means, in [0, 2]. Shapes: source [N, D], target [M, D]. Raises ValueError
    for other shapes."""
    check_pair("cosine", source, target)
    return 1 - torch.cosine_similarity(full(source).mean(0), full(target).mean(0), dim=0)
