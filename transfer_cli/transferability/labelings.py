"""What every score begins with: checked rows, labels without gaps, and the features seen from their own axes.
Labels are [..., N]: many labelings of the same rows (shuffled ones) share what depends on the features alone.
Letters: N rows, D features, S labelings, C classes, R axes."""

from typing import NamedTuple

import torch
from torch import Tensor

RANK = 1e-12  # of the largest squared singular value: below it an axis is rounding


class Labelled(NamedTuple):
    """`x` [N, D] float64; `labels` [S, N] in 0..C-1, each class has a row in some labeling."""

    x: Tensor
    labels: Tensor
    classes: int


def checked(x: Tensor, labels: Tensor) -> Labelled:
    """x [N, D] of any float type, labels [..., N] of any numbers. Raises ValueError for other shapes, no rows, or
    values that are not finite."""
    if x.ndim != 2 or labels.ndim < 1 or labels.shape[-1] != len(x) or not x.numel() or not labels.numel():
        raise ValueError(
            f"score: features {[*x.shape]}, labels {[*labels.shape]}; want [N, D] and [..., N], N and D >= 1"
        )
    if not x.isfinite().all():
        raise ValueError("score: features hold NaN or infinity")
    names, numbered = torch.unique(labels, return_inverse=True)
    return Labelled(x.double(), numbered.view(-1, len(x)), len(names))


def sums(x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Sum of the rows of each class: x [N, D], labels [S, N] -> [S, C, D]."""
    return torch.stack([x.new_zeros(classes, x.shape[1]).index_add_(0, each, x) for each in labels])


def counts(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    """Rows of each class: labels [S, N] -> [S, C]."""
    return torch.stack([torch.bincount(each, minlength=classes) for each in labels]).to(like.dtype)


class Axes(NamedTuple):
    """x = U diag(squares)^0.5 V': `squares` [R], the squared singular values above rounding, and `along` [S, C, R], the
    one-hot labels of each class along U."""

    squares: Tensor
    along: Tensor


def axes(x: Tensor, labels: Tensor, classes: int) -> Axes:
    """From the smaller of x'x and xx': no decomposition of N x D."""
    if len(x) < x.shape[1]:
        squares, turn = _spectrum(x @ x.T)
        return Axes(squares, sums(turn, labels, classes))
    squares, turn = _spectrum(x.T @ x)
    return Axes(squares, sums(x, labels, classes) @ (turn / squares.sqrt()))


def _spectrum(gram: Tensor) -> tuple[Tensor, Tensor]:
    squares, turn = torch.linalg.eigh(gram)
    kept = squares > RANK * squares[-1].clamp_min(0)
    return squares[kept], turn[:, kept]
