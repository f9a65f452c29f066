"""Wasserstein distance with an entropic term, by Sinkhorn's iteration."""

import math

import torch
from torch import Tensor

from transfer_cli.losses.pairs import check_pair, full


def wasserstein(source: Tensor, target: Tensor, *, blur: float = 0.05, iterations: int = 50) -> Tensor:
    """Cost of the entropic transport plan between two samples, squared distances a feature as cost; as `blur` -> 0 it
    is the squared 2-Wasserstein distance / D. Cuturi 2013, arXiv:1306.0895, in logarithms. The gradient flows through
    the cost at the plan found (envelope theorem), not through the iteration.
    `blur`: the entropic term as a share of the mean cost. Shapes: source [N, D], target [M, D]; returns ().
    Raises ValueError for others."""
    check_pair("wasserstein", source, target)
    with torch.autocast(source.device.type, enabled=False):
        near, far = full(source), full(target)
        squares = near.square().sum(1)[:, None] + far.square().sum(1)
        cost = (squares - 2 * near @ far.T).clamp_min(0) / source.shape[1]
    return (_plan(cost.detach(), blur, iterations) * cost).sum()


def _plan(cost: Tensor, blur: float, iterations: int) -> Tensor:
    """Transport plan [N, M]; each row carries 1 / N, each column 1 / M."""
    rows, columns = cost.shape
    scaled = -cost / (blur * cost.mean().clamp_min(1e-12))
    f, g = torch.zeros_like(cost[:, 0]), torch.zeros_like(cost[0])
    for _ in range(iterations):
        f = -math.log(rows) - torch.logsumexp(scaled + g, 1)
        g = -math.log(columns) - torch.logsumexp(scaled + f[:, None], 0)
    return torch.exp(scaled + f[:, None] + g)
