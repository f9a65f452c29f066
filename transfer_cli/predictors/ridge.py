"""Ridge regression on one-hot labels, in closed form."""

from typing import Annotated

import torch
from torch import Tensor

from transfer_cli.predictors.support import checked, full, one_hot
from transfer_cli.ranges import Range


class Ridge:
    """Least squares on one-hot labels plus l2 * |weights|^2, without penalty on the bias. Bertinetto et al. 2019
    (R2-D2), arXiv:1805.08136, eq. 5. The linear system has the smaller of D and M unknowns and is solved in float64."""

    shares = True
    needs = ("row",)

    def __init__(self, *, l2: Annotated[float, Range(0, above=True)] = 1.0) -> None:
        self.l2 = l2

    def scores(self, support: Tensor, labels: Tensor, query: Tensor, ways: int) -> Tensor:
        """Returns the fitted labels of the queries: [E, Q, N], near 1 for the predicted class and near 0 for others."""
        support, labels, query = checked(support, labels, query, ways)
        target = one_hot(labels, ways, support)
        centre, level = support.mean(1, keepdim=True), target.mean(1, keepdim=True)
        weight = fit((support - centre).double(), (target - level).double(), self.l2)
        return (query - centre) @ weight.to(query.dtype) + level

    def numbers(self, support: Tensor, targets: Tensor, query: Tensor) -> Tensor:
        """Returns the fitted numbers of the queries: targets [E, M, K] of support [E, M, D] -> [E, Q, K]."""
        support, query = full(support), full(query)
        centre, level = support.mean(1, keepdim=True), targets.to(support).mean(1, keepdim=True)
        weight = fit((support - centre).double(), (targets.to(support) - level).double(), self.l2)
        return (query - centre) @ weight.to(query.dtype) + level


def fit(x: Tensor, y: Tensor, l2: float) -> Tensor:
    """Returns the weights [E, D, N] that minimise |x w - y|^2 + l2 |w|^2, for x [E, M, D] and y [E, M, N]."""
    if x.shape[1] < x.shape[2]:
        dual: Tensor = torch.linalg.solve(x @ x.mT + _penalty(x.shape[1], l2, x), y)
        return x.mT @ dual
    primal: Tensor = torch.linalg.solve(x.mT @ x + _penalty(x.shape[2], l2, x), x.mT @ y)
    return primal


def _penalty(size: int, l2: float, like: Tensor) -> Tensor:
    return l2 * torch.eye(size, dtype=like.dtype, device=like.device)
