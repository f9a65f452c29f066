"""Proxy A-distance: how well a classifier tells two clouds of features apart. Ben-David et al. 2007 (NIPS 19);
2 (1 - 2 error), as in Ganin et al. 2016, arXiv:1505.07818."""

import torch
from torch import Tensor

from transfer_cli.transferability.probe import probe


def a_distance(source: Tensor, target: Tensor) -> Tensor:
    """2 for clouds that a linear probe tells apart in every held-out row, 0 where it guesses; never below 0. source
    [N, D], target [M, D] -> () float64; of the longer as many rows as the shorter has, the first ones. Raises
    ValueError for other shapes."""
    if min(source.ndim, target.ndim) != 2 or source.shape[1] != target.shape[1]:
        raise ValueError(f"a_distance: source {[*source.shape]}, target {[*target.shape]}; want [rows, features]")
    n = min(len(source), len(target))
    accuracy = probe(torch.cat([source[:n], target[:n]]), torch.arange(2 * n, device=source.device) // n)
    return (2 * (2 * accuracy - 1)).clamp_min(0)
