"""A linear head on frozen features, fitted by a solver instead of training steps."""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Loader, Method, MethodInputs, Range, Stream
from transfer_cli.errors import ConfigError, Fault

GRID = tuple(10.0**power for power in range(-5, 4))
Fit = Callable[[Tensor, Tensor, int, float], Tensor]


class LinearProbe(Method):
    """Logistic regression (L-BFGS) or ridge regression on standardised features; the standardisation is merged into the
    head. `auto`: logistic for classes and labels, ridge for numbers. `l2`: the penalty; None selects it by
    cross-validation on the training rows, as in Kornblith et al. 2019, arXiv:1805.08974. Raises ConfigError for
    logistic regression on numbers."""

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
        features, targets = loaders["target"].features(self.net)
        head = self.net.heads[self.head]
        if self.numbers:
            targets = (targets - head.mean) / head.deviation
        elif targets.ndim == 2 and self.fit is ridge:
            targets = 2 * targets - 1  # with targets -1 and 1 the fit is 0 where the label has probability 0.5
        solve(head, features, targets, self.fit, self.l2, self.folds)


def solve(
    head: nn.Linear, features: Tensor, targets: Tensor, fit: Fit, l2: float | None = None, folds: int = 5
) -> None:
    """Fits a linear map from features [N, D] to targets and writes it into `head`. Targets are classes [N] in 0..C-1,
    or floats [N, C]: labels 0 or 1 for `logistic`, numbers for `ridge`. With `l2` None the penalty is
    cross-validated."""
    mean, scale = features.mean(0), features.std(0, correction=0).clamp_min(1e-6)
    x, ways = (features - mean) / scale, head.out_features
    weight = fit(x, targets, ways, best_l2(fit, x, targets, ways, folds) if l2 is None else l2)
    _write(head, weight, mean, scale)


def _write(head: nn.Linear, weight: Tensor, mean: Tensor, scale: Tensor) -> None:
    slopes = weight[:-1] / scale[:, None]
    with torch.no_grad():
        head.weight.copy_(slopes.T)
        head.bias.copy_(weight[-1] - mean @ slopes)


def best_l2(fit: Fit, x: Tensor, targets: Tensor, ways: int, folds: int) -> float:
    """Returns the penalty of GRID with the lowest held-out loss: cross-entropy for classes and labels, squared error
    for numbers. On ties the larger penalty is chosen. Rows are assigned to folds class by class, so that each fold
    contains every class with enough rows; rows without classes are assigned in turn."""
    fold = _assign_folds(targets, min(folds, len(targets)))
    count = int(fold.max()) + 1
    losses = [sum(_held_out_loss(fit, x, targets, ways, l2, fold == k) for k in range(count)) for l2 in GRID]
    return max(zip(losses, GRID, strict=True), key=lambda pair: (-round(pair[0], 6), pair[1]))[1]


def _assign_folds(targets: Tensor, folds: int) -> Tensor:
    """Returns the fold [N] of each row."""
    in_turn = torch.arange(len(targets), device=targets.device) % folds
    if targets.ndim > 1:
        return in_turn
    fold = torch.empty_like(targets)
    fold[torch.argsort(targets, stable=True)] = in_turn
    return fold


def _held_out_loss(fit: Fit, x: Tensor, targets: Tensor, ways: int, l2: float, out: Tensor) -> float:
    weight = fit(x[~out], targets[~out], ways, l2)
    return float(_loss(fit, with_ones(x[out]) @ weight, targets[out], "sum"))


def _loss(fit: Fit, outputs: Tensor, targets: Tensor, reduction: str) -> Tensor:
    """Loss () of outputs [N, C] against classes [N], or against labels or numbers [N, C]."""
    if targets.ndim == 1:
        return nn.functional.cross_entropy(outputs, targets, reduction=reduction)
    if fit is logistic:
        return nn.functional.binary_cross_entropy_with_logits(outputs, targets, reduction=reduction)
    return nn.functional.mse_loss(outputs, targets, reduction=reduction)


def with_ones(x: Tensor) -> Tensor:
    """[N, D] -> [N, D + 1]: appends a column of ones for the bias."""
    return torch.cat([x, torch.ones_like(x[:, :1])], 1)


def ridge(x: Tensor, targets: Tensor, ways: int, l2: float) -> Tensor:
    """Least squares on one-hot classes or on numbers. The penalty is N * l2 on the slopes and 0 on the bias. Returns
    weights [D + 1, ways], the bias last."""
    ones = with_ones(x)
    target = nn.functional.one_hot(targets, ways).to(x) if targets.ndim == 1 else targets.to(x)
    penalty = torch.eye(ones.shape[1], dtype=x.dtype, device=x.device) * max(l2, 1e-9) * len(x)
    penalty[-1, -1] = 0
    return torch.linalg.solve(ones.T @ ones + penalty, ones.T @ target)


def logistic(x: Tensor, targets: Tensor, ways: int, l2: float) -> Tensor:
    """Minimises the mean cross-entropy of classes, or of independent labels, + l2 / 2 * |slopes|^2 by L-BFGS. Returns
    weights [D + 1, ways], the bias last."""
    ones = with_ones(x)
    weight = torch.zeros(ones.shape[1], ways, dtype=x.dtype, device=x.device, requires_grad=True)
    solver = torch.optim.LBFGS([weight], max_iter=200, tolerance_grad=1e-5, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        value = _loss(logistic, ones @ weight, targets, "mean") + l2 / 2 * weight[:-1].square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        solver.step(closure)
    return weight.detach()
