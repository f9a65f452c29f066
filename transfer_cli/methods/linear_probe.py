"""A linear head on frozen features, solved, not trained by steps."""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Loader, Method, MethodInputs, Range, Stream
from transfer_cli.errors import ConfigError, Fault

GRID = tuple(10.0**power for power in range(-5, 4))
Fit = Callable[[Tensor, Tensor, int, float], Tensor]


class LinearProbe(Method):
    """Logistic (L-BFGS) or ridge regression on standardised features; the standardisation is folded into the head.
    `auto`: logistic for classes and labels, ridge for numbers. The penalty is picked by cross-validation on the
    training rows, as in Kornblith et al. 2019, arXiv:1805.08974. Raises ConfigError for logistic regression on
    numbers."""

    streams = {"target": Stream(views=("none",))}
    steps = False
    needs = ("row",)

    def __init__(
        self,
        given: MethodInputs,
        *,
        solver: Literal["auto", "logistic", "ridge"] = "auto",
        l2: Annotated[float, Range(0)] | None = None,
        folds: Annotated[int, Range(2)] = 5,
    ) -> None:
        super().__init__()
        task = given.tasks["target"]
        self.net, self.head, self.numbers = given.net, task.head, "numbers" in task.offers
        if solver == "logistic" and self.numbers:
            text = "fits classes and labels, and the task learns numbers"
            raise ConfigError(Fault("fine_tune.solver", text, solver, ("auto", "ridge"), do="fine_tune.solver=ridge"))
        self.fit: Fit = ridge if solver == "ridge" or self.numbers else logistic
        self.l2, self.folds = l2, folds

    def finish(self, loaders: dict[str, Loader]) -> None:
        features, learned = loaders["target"].features(self.net)
        head = self.net.heads[self.head]
        if self.numbers:
            learned = (learned - head.mean) / head.deviation
        elif learned.ndim == 2 and self.fit is ridge:
            learned = 2 * learned - 1  # least squares of -1 and 1 change sign where a label is as likely as not
        solve(head, features, learned, self.fit, self.l2, self.folds)


def solve(
    head: nn.Linear, features: Tensor, learned: Tensor, fit: Fit, l2: float | None = None, folds: int = 5
) -> None:
    """Writes into `head` the best linear answer to features [N, D] for what is learned of each row: classes [N] in
    0..C-1, or a float [N, C] a row: labels 0 or 1 for `logistic`, numbers for `ridge`. `l2` None: cross-validated."""
    mean, scale = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
    x, ways = (features - mean) / scale, head.out_features
    weight = fit(x, learned, ways, best_l2(fit, x, learned, ways, folds) if l2 is None else l2)
    _write(head, weight, mean, scale)


def _write(head: nn.Linear, weight: Tensor, mean: Tensor, scale: Tensor) -> None:
    slopes = weight[:-1] / scale[:, None]
    with torch.no_grad():
        head.weight.copy_(slopes.T)
        head.bias.copy_(weight[-1] - mean @ slopes)


def best_l2(fit: Fit, x: Tensor, learned: Tensor, ways: int, folds: int) -> float:
    """The penalty of GRID with the lowest held-out loss: cross-entropy of classes and labels, squared error of numbers;
    ties go to the larger penalty. Rows are dealt to folds class by class, so that each fold sees every class that has
    enough rows; rows without classes in turn."""
    fold = _deal(learned, min(folds, len(learned)))
    losses = [sum(_held_out(fit, x, learned, ways, l2, fold == k) for k in range(int(fold.max()) + 1)) for l2 in GRID]
    return max(zip(losses, GRID, strict=True), key=lambda pair: (-round(pair[0], 6), pair[1]))[1]


def _deal(learned: Tensor, folds: int) -> Tensor:
    turn = torch.arange(len(learned), device=learned.device) % folds
    if learned.ndim > 1:
        return turn
    fold = torch.empty_like(learned)
    fold[torch.argsort(learned, stable=True)] = turn
    return fold


def _held_out(fit: Fit, x: Tensor, learned: Tensor, ways: int, l2: float, out: Tensor) -> float:
    weight = fit(x[~out], learned[~out], ways, l2)
    return float(_loss(fit, with_ones(x[out]) @ weight, learned[out], "sum"))


def _loss(fit: Fit, answer: Tensor, learned: Tensor, reduction: str) -> Tensor:
    """What a fit is judged by: answer [N, C] against classes [N], or labels or numbers [N, C]."""
    if learned.ndim == 1:
        return nn.functional.cross_entropy(answer, learned, reduction=reduction)
    if fit is logistic:
        return nn.functional.binary_cross_entropy_with_logits(answer, learned, reduction=reduction)
    return nn.functional.mse_loss(answer, learned, reduction=reduction)


def with_ones(x: Tensor) -> Tensor:
    """[N, D] -> [N, D + 1]: a last column of ones carries the bias."""
    return torch.cat([x, torch.ones_like(x[:, :1])], 1)


def ridge(x: Tensor, learned: Tensor, ways: int, l2: float) -> Tensor:
    """Least squares on one-hot classes or on numbers, penalty N * l2 on the slopes, none on the bias. Returns [D + 1,
    ways]."""
    ones = with_ones(x)
    target = nn.functional.one_hot(learned, ways).to(x) if learned.ndim == 1 else learned.to(x)
    penalty = torch.eye(ones.shape[1], dtype=x.dtype, device=x.device) * max(l2, 1e-9) * len(x)
    penalty[-1, -1] = 0
    return torch.linalg.solve(ones.T @ ones + penalty, ones.T @ target)


def logistic(x: Tensor, learned: Tensor, ways: int, l2: float) -> Tensor:
    """Minimises the mean cross-entropy of classes, or of labels each on its own, + l2 / 2 * |slopes|^2 by L-BFGS.
    Returns [D + 1, ways]."""
    ones = with_ones(x)
    weight = torch.zeros(ones.shape[1], ways, dtype=x.dtype, device=x.device, requires_grad=True)
    solver = torch.optim.LBFGS([weight], max_iter=200, tolerance_grad=1e-5, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        value = _loss(logistic, ones @ weight, learned, "mean") + l2 / 2 * weight[:-1].square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        solver.step(closure)
    return weight.detach()
