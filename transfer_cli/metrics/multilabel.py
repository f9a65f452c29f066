"""Metrics of several labels a row: pure functions, all in float64.
Shapes: scores [N, L], logits, of which those above 0 predict the label; truth bool [N, L], whether a row has the label.
Every public function raises ValueError on shapes that do not fit, Diverged on NaN."""

import torch
from torch import Tensor

from transfer_cli.errors import Diverged, Fault


def multilabel(scores: Tensor, truth: Tensor) -> dict[str, float]:
    """All metrics by name, equal to scikit-learn's.
    `auroc` and `average_precision` are means over the labels that some rows have and some rows lack, and are absent
    if there is no such label; `undefined_labels` counts the others. `f1_micro` pools all cells; `f1_macro` is the mean
    over all labels, 0 where a label neither occurs nor is predicted. `subset_accuracy` is the share of rows with every
    label right, `hamming_loss` the share of wrong cells. `auroc/3`, `average_precision/3` and `f1/3` are of label 3."""
    scores, truth = _checked(scores, truth)
    predicted = scores > 0
    defined = (truth.any(0) & ~truth.all(0)).nonzero().flatten().tolist()
    curves = {label: _curve(scores[:, label], truth[:, label]) for label in defined}
    by_label = {
        "auroc": {label: _auroc(*curve) for label, curve in curves.items()},
        "average_precision": {label: _average_precision(*curve) for label, curve in curves.items()},
        "f1": dict(enumerate(_f1(predicted, truth).tolist())),
    }
    values = {name: sum(by_label[name].values()) / len(defined) for name in ("auroc", "average_precision") if defined}
    values |= {
        "f1_micro": _f1(predicted.flatten(), truth.flatten()).item(),
        "f1_macro": _f1(predicted, truth).mean().item(),
        "subset_accuracy": (predicted == truth).all(1).double().mean().item(),
        "hamming_loss": (predicted != truth).double().mean().item(),
        "undefined_labels": float(truth.shape[1] - len(defined)),
    }
    return values | {f"{name}/{label}": value for name, each in by_label.items() for label, value in each.items()}


def subset_rows(scores: Tensor, truth: Tensor) -> Tensor:
    """1 for a row with every label right, else 0, float64 [N]: the mean is the subset accuracy."""
    scores, truth = _checked(scores, truth)
    return ((scores > 0) == truth).all(1).double()


def f1_rows(scores: Tensor, truth: Tensor) -> Tensor:
    """Twice the true positives of each row, and its predicted plus its true labels, float64 [N, 2]: the sum of the
    first column over the sum of the second is micro F1."""
    scores, truth = _checked(scores, truth)
    predicted = scores > 0
    return torch.stack([2 * (predicted & truth).sum(1), predicted.sum(1) + truth.sum(1)], 1).double()


def _curve(scores: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """True and false positives [T] at each different score of scores [N] as the threshold, from the highest down."""
    ordered, order = scores.sort(descending=True, stable=True)
    last = torch.cat([ordered[1:] != ordered[:-1], torch.ones(1, dtype=torch.bool)])  # rows of one score enter together
    hits = truth[order].double().cumsum(0)[last]
    return hits, torch.arange(1, len(scores) + 1, dtype=torch.float64)[last] - hits


def _auroc(hits: Tensor, misses: Tensor) -> float:
    """Area under the ROC curve by trapezoids: a positive and a negative row of one score count half."""
    zero = torch.zeros(1, dtype=torch.float64)
    height, width = torch.cat([zero, hits]), torch.cat([zero, misses])
    return (torch.trapezoid(height, width) / (hits[-1] * misses[-1])).item()


def _average_precision(hits: Tensor, misses: Tensor) -> float:
    """Precision at each threshold, weighted by the recall that it adds."""
    added = torch.diff(hits, prepend=torch.zeros(1, dtype=torch.float64))
    return ((hits / (hits + misses)) @ added / hits[-1]).item()


def _f1(predicted: Tensor, truth: Tensor) -> Tensor:
    """F1 along the first axis, 0 where nothing is predicted or true."""
    over, under = 2 * (predicted & truth).sum(0), predicted.sum(0) + truth.sum(0)
    return over.double() / under.clamp_min(1)


def _checked(scores: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    if scores.ndim != 2 or truth.shape != scores.shape or not scores.numel():
        text = f"scores {list(scores.shape)}, truth {list(truth.shape)}"
        raise ValueError(f"metrics: {text}, want both [N, L], N > 0 and L > 0")
    if bad := int(scores.isnan().any(1).sum()):
        raise Diverged(Fault("scores", f"{bad} of {len(scores)} rows are not numbers"))
    return scores.detach().cpu().double(), truth.detach().cpu().bool()
