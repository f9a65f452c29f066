"""A linear head on frozen features, solved, not trained by steps."""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Loader, Method, MethodInputs, Range, Stream

GRID = tuple(10.0**power for power in range(-5, 4))
Fit = Callable[[Tensor, Tensor, int, float], Tensor]


class LinearProbe(Method):
    """Logistic (L-BFGS) or ridge regression on standardised features; the standardisation is folded into the head.
    The penalty is picked by cross-validation on the training rows, as in Kornblith et al. 2019, arXiv:1805.08974."""

    streams = {"target": Stream(views=("none",))}
    steps = False
    needs = ("classes",)

    def __init__(
        self,
        given: MethodInputs,
        *,
        solver: Literal["logistic", "ridge"] = "logistic",
        l2: Annotated[float, Range(0)] | None = None,
        folds: Annotated[int, Range(2)] = 5,
    ) -> None:
        super().__init__()
        self.net, self.head = given.net, given.tasks["target"].head
        self.fit: Fit = {"logistic": logistic, "ridge": ridge}[solver]
        self.l2, self.folds = l2, folds

    def finish(self, loaders: dict[str, Loader]) -> None:
        solve(self.net.heads[self.head], *loaders["target"].features(self.net), self.fit, self.l2, self.folds)


def solve(head: nn.Linear, features: Tensor, labels: Tensor, fit: Fit, l2: float | None = None, folds: int = 5) -> None:
    """Writes into `head` the best linear classifier of features [N, D] with labels [N] in 0..C-1; `l2` None:
    cross-validated."""
    mean, scale = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
    x, ways = (features - mean) / scale, head.out_features
    weight = fit(x, labels, ways, best_l2(fit, x, labels, ways, folds) if l2 is None else l2)
    _write(head, weight, mean, scale)


def _write(head: nn.Linear, weight: Tensor, mean: Tensor, scale: Tensor) -> None:
    slopes = weight[:-1] / scale[:, None]
    with torch.no_grad():
        head.weight.copy_(slopes.T)
        head.bias.copy_(weight[-1] - mean @ slopes)


def best_l2(fit: Fit, x: Tensor, labels: Tensor, ways: int, folds: int) -> float:
    """The penalty of GRID with the lowest held-out cross-entropy; ties go to the larger penalty.
    Rows are dealt to folds class by class, so that each fold sees every class that has enough rows."""
    fold = _deal(labels, min(folds, len(labels)))
    losses = [sum(_held_out(fit, x, labels, ways, l2, fold == k) for k in range(int(fold.max()) + 1)) for l2 in GRID]
    return max(zip(losses, GRID, strict=True), key=lambda pair: (-round(pair[0], 6), pair[1]))[1]


def _deal(labels: Tensor, folds: int) -> Tensor:
    order = torch.argsort(labels, stable=True)
    fold = torch.empty_like(labels)
    fold[order] = torch.arange(len(labels), device=labels.device) % folds
    return fold


def _held_out(fit: Fit, x: Tensor, labels: Tensor, ways: int, l2: float, out: Tensor) -> float:
    weight = fit(x[~out], labels[~out], ways, l2)
    return float(nn.functional.cross_entropy(with_ones(x[out]) @ weight, labels[out], reduction="sum"))


def with_ones(x: Tensor) -> Tensor:
    """[N, D] -> [N, D + 1]: a last column of ones carries the bias."""
    return torch.cat([x, torch.ones_like(x[:, :1])], 1)


def ridge(x: Tensor, labels: Tensor, ways: int, l2: float) -> Tensor:
    """Least squares on one-hot labels, penalty N * l2 on the slopes, none on the bias. Returns [D + 1, ways]."""
    ones, target = with_ones(x), nn.functional.one_hot(labels, ways).to(x)
    penalty = torch.eye(ones.shape[1], dtype=x.dtype, device=x.device) * max(l2, 1e-9) * len(x)
    penalty[-1, -1] = 0
    return torch.linalg.solve(ones.T @ ones + penalty, ones.T @ target)


def logistic(x: Tensor, labels: Tensor, ways: int, l2: float) -> Tensor:
    """Minimises mean cross-entropy + l2 / 2 * |slopes|^2 by L-BFGS. Returns [D + 1, ways]."""
    ones = with_ones(x)
    weight = torch.zeros(ones.shape[1], ways, dtype=x.dtype, device=x.device, requires_grad=True)
    solver = torch.optim.LBFGS([weight], max_iter=200, tolerance_grad=1e-5, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        value = nn.functional.cross_entropy(ones @ weight, labels) + l2 / 2 * weight[:-1].square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        solver.step(closure)
    return weight.detach()
