"""Proxy A-distance: how well a classifier separates two sets of features. Ben-David et al. 2007 (NIPS 19); 2 (1 - 2
error), as in Ganin et al. 2016, arXiv:1505.07818."""

import torch
from torch import Tensor

from transfer_cli.transferability.probe import probe


def a_distance(source: Tensor, target: Tensor) -> Tensor:
    """Proxy A-distance () float64 in [0, 2]: 2 if a linear probe separates all held-out rows, 0 if it does not beat
    chance. Shapes: source [N, D], target [M, D]; of the larger set only the first rows are used, as many as the smaller
    set has. Raises ValueError for other shapes."""
    if min(source.ndim, target.ndim) != 2 or source.shape[1] != target.shape[1]:
        raise ValueError(f"a_distance: source {[*source.shape]}, target {[*target.shape]}; expected [rows, features]")
    n = min(len(source), len(target))
    accuracy = probe(torch.cat([source[:n], target[:n]]), torch.arange(2 * n, device=source.device) // n)
    return (2 * (2 * accuracy - 1)).clamp_min(0)
