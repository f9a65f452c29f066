"""Metrics of a classifier from its scores: pure functions, all in float64, without rounding.

Shapes: scores [N, C], larger is more probable; labels [N] integers in 0..C-1. On ties the lowest class wins. Every
function raises ValueError for shapes or labels that do not match, and Diverged for NaN."""

import torch
from torch import Tensor

from transfer_cli.errors import Diverged, Fault

ECE_BINS = 15
Z95 = 1.959964


def classification(scores: Tensor, labels: Tensor) -> dict[str, float]:
    """Returns the metrics of this file by name: accuracy, top5 (with more than five classes), nll, ece; precision,
    recall and f1 as means over the classes that occur in labels or predictions; `f1_weighted` ... weighted by the rows
    of each class; and `f1/3` ... for each class that occurs."""
    scores, labels = _checked(scores, labels)
    ranks = _ranks(scores, labels)
    values = {"accuracy": _share(ranks < 1)} | ({"top5": _share(ranks < 5)} if scores.shape[1] > 5 else {})
    values |= {"nll": nll(scores, labels), "ece": ece(scores, labels)}
    return values | _by_class(confusion(scores, labels))


def confusion(scores: Tensor, labels: Tensor) -> Tensor:
    """Counts rows by true class (first axis) and predicted class (second axis): int64 [C, C]."""
    scores, labels = _checked(scores, labels)
    classes = scores.shape[1]
    cells = labels * classes + scores.argmax(1)
    return torch.bincount(cells, minlength=classes**2).reshape(classes, classes)


def nll(scores: Tensor, labels: Tensor) -> float:
    """Mean negative log-likelihood of the labels in nats; the scores are logits."""
    scores, labels = _checked(scores, labels)
    return torch.nn.functional.cross_entropy(scores, labels).item()


def ece(scores: Tensor, labels: Tensor) -> float:
    """Expected calibration error in [0, 1]: 15 bins (low, high] of equal width over the largest softmax probability;
    the differences between mean probability and accuracy, weighted by rows. Guo et al. 2017, arXiv:1706.04599, eq.
    3."""
    scores, labels = _checked(scores, labels)
    confidence, predicted = scores.softmax(1).max(1).values, scores.argmax(1)
    edges = torch.arange(1, ECE_BINS, dtype=torch.float64) / ECE_BINS
    gaps = torch.zeros(ECE_BINS, dtype=torch.float64)
    gaps.index_add_(0, torch.bucketize(confidence, edges), confidence - (predicted == labels).double())
    return gaps.abs().sum().item() / len(labels)


def open_set(scores: Tensor, labels: Tensor) -> dict[str, float]:
    """For scores whose last class stands for all unknown classes: `os_star`, the mean recall of the known classes that
    occur in labels; `unknown`, the recall of the unknown class; `hos`, their harmonic mean. Bucci et al. 2020,
    arXiv:2007.12107, section 2. Returns an empty dict if known or unknown rows are missing."""
    matrix = confusion(scores, labels)
    hits, rows = matrix.diagonal().double(), matrix.sum(1)
    occurs = rows[:-1] > 0
    if not occurs.any() or not rows[-1]:
        return {}
    known, unknown = (hits[:-1] / rows[:-1])[occurs].mean().item(), (hits[-1] / rows[-1]).item()
    return {"os_star": known, "unknown": unknown, "hos": 2 * known * unknown / max(known + unknown, 1e-12)}


def _by_class(matrix: Tensor) -> dict[str, float]:
    """precision = hits / predicted, recall = hits / rows, f1 = 2 hits / (predicted + rows); 0 for an empty
    denominator."""
    hits, rows, predicted = matrix.diagonal().double(), matrix.sum(1).double(), matrix.sum(0).double()
    occurs = (rows + predicted).nonzero().flatten()
    values: dict[str, float] = {}
    parts = {"precision": (hits, predicted), "recall": (hits, rows), "f1": (2 * hits, rows + predicted)}
    for name, (numerator, denominator) in parts.items():
        each = torch.where(denominator > 0, numerator / denominator.clamp_min(1), 0.0)
        values[name] = each[occurs].mean().item()
        values[f"{name}_weighted"] = (each @ rows).item() / rows.sum().item()
        values |= {f"{name}/{i}": each[i].item() for i in occurs.tolist()}
    return values


def _ranks(scores: Tensor, labels: Tensor) -> Tensor:
    """Returns how many classes come before the correct one: those with a higher score, or an equal score and a lower
    index."""
    correct = scores.gather(1, labels[:, None])
    before = torch.arange(scores.shape[1]) < labels[:, None]
    return ((scores > correct) | ((scores == correct) & before)).sum(1)


def _share(hits: Tensor) -> float:
    return int(hits.sum()) / len(hits)


def _checked(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not scores.numel():
        raise ValueError(
            f"metrics: scores {list(scores.shape)}, labels {list(labels.shape)}, expected [N, C] and [N], N > 0"
        )
    if labels.is_floating_point() or not 0 <= int(labels.min()) <= int(labels.max()) < scores.shape[1]:
        raise ValueError(f"metrics: labels must be integers in 0..{scores.shape[1] - 1}")
    if bad := int(scores.isnan().any(1).sum()):
        raise Diverged(Fault("scores", f"{bad} of {len(scores)} rows are not numbers"))
    return scores.detach().cpu().double(), labels.detach().cpu().long()


def right_rows(scores: Tensor, labels: Tensor) -> Tensor:
    """Returns 1 for each row whose label has the highest score, else 0: float64 [N]."""
    scores, labels = _checked(scores, labels)
    return (_ranks(scores, labels) < 1).double()


def nll_rows(scores: Tensor, labels: Tensor) -> Tensor:
    """Returns the negative log-likelihood of each label in nats: float64 [N]."""
    scores, labels = _checked(scores, labels)
    return torch.nn.functional.cross_entropy(scores, labels, reduction="none")


def wilson_interval(share: float, n: int) -> tuple[float, float]:
    """Returns the ends of the 95 % Wilson interval of a share of n rows. The interval is not centred on the share.
    Wilson 1927, eq. 4 of Brown, Cai & DasGupta 2001. analysis/statistics.py has the same without torch."""
    half = float(Z95 / (1 + Z95**2 / n) * (share * (1 - share) / n + Z95**2 / (4 * n**2)) ** 0.5)
    centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    return centre - half, centre + half
