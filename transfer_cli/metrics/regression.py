"""Metrics of predicted numbers: pure functions, all in float64.
Shapes: predicted and truth [N, K], K numbers a row, in the units of the data.
Every public function raises ValueError on shapes that do not fit, Diverged where a prediction is not finite."""

import torch
from torch import Tensor

from transfer_cli.errors import Diverged, Fault
from transfer_cli.metrics.classification import Z95

Interval = tuple[float, float]


def regression(predicted: Tensor, truth: Tensor) -> dict[str, float]:
    """`rmse`, `mae`, `r2` and `spearman`, each the mean over the K outputs (the RMSE: the mean of the K roots), equal
    to scikit-learn's and scipy's. With several outputs also `rmse/0`, ... of each.
    R2 of a constant truth is 1 if every prediction is right, else 0. R2 and Spearman need two rows; Spearman is
    undefined where predictions or truth are constant. Outputs without a value are left out of the mean."""
    predicted, truth = _checked(predicted, truth)
    each = [_of_output(predicted[:, output], truth[:, output]) for output in range(truth.shape[1])]
    values: dict[str, float] = {}
    for name in ("rmse", "mae", "r2", "spearman"):
        known = {output: value for output, metrics in enumerate(each) if (value := metrics.get(name)) is not None}
        if known:
            values[name] = sum(known.values()) / len(known)
        if len(each) > 1:
            values |= {f"{name}/{output}": value for output, value in known.items()}
    return values


def intervals(predicted: Tensor, truth: Tensor) -> dict[str, Interval]:
    """95 % intervals of `mae` and `rmse` as (lower, upper) ends, none below 0; empty for a single row.
    MAE is a mean over rows, and so is RMSE of `root_rows`."""
    predicted, truth = _checked(predicted, truth)
    if len(truth) < 2:
        return {}
    absolute, roots = absolute_rows(predicted, truth), root_rows(predicted, truth)
    return {"mae": _around(absolute.mean(), absolute), "rmse": _around(roots.mean(), roots)}


def root_rows(predicted: Tensor, truth: Tensor) -> Tensor:
    """The RMSE as a mean over rows, by the delta method: float64 [N]. A row moves the root of output k by (its squared
    error - mean) / (2 root); its value is the root plus that, averaged over the outputs."""
    predicted, truth = _checked(predicted, truth)
    squares = (predicted - truth).square()
    roots = squares.mean(0).sqrt()
    return (roots + torch.where(roots > 0, (squares - squares.mean(0)) / (2 * roots), 0.0)).mean(1)


def absolute_rows(predicted: Tensor, truth: Tensor) -> Tensor:
    """Absolute error of each row, the mean over its outputs, float64 [N]: the mean over rows is the MAE."""
    predicted, truth = _checked(predicted, truth)
    return (predicted - truth).abs().mean(1)


def _of_output(predicted: Tensor, truth: Tensor) -> dict[str, float | None]:
    error = predicted - truth
    return {
        "rmse": error.square().mean().sqrt().item(),
        "mae": error.abs().mean().item(),
        "r2": _r2(error, truth),
        "spearman": _spearman(predicted, truth),
    }


def _r2(error: Tensor, truth: Tensor) -> float | None:
    """1 - squared error over squared deviation from the mean."""
    if len(truth) < 2:
        return None
    left, total = error.square().sum().item(), (truth - truth.mean()).square().sum().item()
    if total == 0:
        return 1.0 if left == 0 else 0.0
    return 1 - left / total


def _spearman(predicted: Tensor, truth: Tensor) -> float | None:
    """Correlation of the ranks, of which ties share the mean."""
    one, two = _ranks(predicted), _ranks(truth)
    spread = (one.square().sum() * two.square().sum()).sqrt()
    return (one @ two / spread).item() if spread > 0 else None


def _ranks(values: Tensor) -> Tensor:
    """Ranks of values [N] minus their mean; equal values share the mean of their ranks."""
    _, place, count = values.unique(return_inverse=True, return_counts=True)
    upper = count.cumsum(0).double()
    return (upper - (count.double() - 1) / 2)[place] - (len(values) + 1) / 2


def _around(value: Tensor, rows: Tensor) -> Interval:
    half = Z95 * (rows.std() / len(rows) ** 0.5).item()
    return max(0.0, value.item() - half), value.item() + half


def _checked(predicted: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    if truth.ndim != 2 or predicted.shape != truth.shape or not truth.numel():
        text = f"predicted {list(predicted.shape)}, truth {list(truth.shape)}"
        raise ValueError(f"metrics: {text}, want both [N, K], N > 0 and K > 0")
    if bad := int((~predicted.isfinite()).any(1).sum()):
        raise Diverged(Fault("predictions", f"{bad} of {len(predicted)} rows are not finite"))
    return predicted.detach().cpu().double(), truth.detach().cpu().double()
