"""Wasserstein distance with an entropic term, computed by Sinkhorn's iteration."""

import math

import torch
from torch import Tensor

from transfer_cli.losses.pairs import check_pair, full


def wasserstein(source: Tensor, target: Tensor, *, blur: float = 0.05, iterations: int = 50) -> Tensor:
    """Cost () of the entropic transport plan between two samples. The cost of a pair is its squared distance divided by
    D; as `blur` goes to 0, the result goes to the squared 2-Wasserstein distance / D. Cuturi 2013, arXiv:1306.0895,
    computed in logarithms. The gradient flows through the cost at the final plan (envelope theorem), not through the
    iteration. `blur`: the entropic term as a share of the mean cost. Shapes: source [N, D], target [M, D]. Raises
    ValueError for other shapes."""
    check_pair("wasserstein", source, target)
    with torch.autocast(source.device.type, enabled=False):
        source, target = full(source), full(target)
        squares = source.square().sum(1)[:, None] + target.square().sum(1)
        cost = (squares - 2 * source @ target.T).clamp_min(0) / source.shape[1]
    return (_plan(cost.detach(), blur, iterations) * cost).sum()


def _plan(cost: Tensor, blur: float, iterations: int) -> Tensor:
    """Transport plan [N, M]; each row sums to 1 / N and each column to 1 / M."""
    rows, columns = cost.shape
    scaled = -cost / (blur * cost.mean().clamp_min(1e-12))
    f, g = torch.zeros_like(cost[:, 0]), torch.zeros_like(cost[0])
    for _ in range(iterations):
        f = -math.log(rows) - torch.logsumexp(scaled + g, 1)
        g = -math.log(columns) - torch.logsumexp(scaled + f[:, None], 0)
    return torch.exp(scaled + f[:, None] + g)
