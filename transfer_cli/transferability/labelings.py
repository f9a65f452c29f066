"""Shared by all scores: checked rows, labels numbered without gaps, and features in their principal axes.

Labels are [..., N]: several labelings of the same rows (for example shuffled ones) share the computations that depend
on the features only. Shapes: N rows, D features, S labelings, C classes, R axes."""

from typing import NamedTuple

import torch
from torch import Tensor

RANK = 1e-12  # relative to the largest squared singular value; smaller axes are rounding errors


class Labelled(NamedTuple):
    """`x` [N, D] float64; `labels` [S, N] in 0..C-1, where each class has a row in at least one labeling."""

    x: Tensor
    labels: Tensor
    classes: int


def checked(x: Tensor, labels: Tensor) -> Labelled:
    """Checks x [N, D] of any float type and labels [..., N] of any numbers. Raises ValueError for other shapes, empty
    inputs, or values that are not finite."""
    if x.ndim != 2 or labels.ndim < 1 or labels.shape[-1] != len(x) or not x.numel() or not labels.numel():
        raise ValueError(
            f"score: features {[*x.shape]}, labels {[*labels.shape]}; expected [N, D] and [..., N], N and D >= 1"
        )
    if not x.isfinite().all():
        raise ValueError("score: features hold NaN or infinity")
    distinct, numbered = torch.unique(labels, return_inverse=True)
    return Labelled(x.double(), numbered.view(-1, len(x)), len(distinct))


def sums(x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Sums the rows of each class: x [N, D], labels [S, N] -> [S, C, D]."""
    return torch.stack([x.new_zeros(classes, x.shape[1]).index_add_(0, each, x) for each in labels])


def counts(labels: Tensor, classes: int, like: Tensor) -> Tensor:
    """Counts the rows of each class: labels [S, N] -> [S, C]."""
    return torch.stack([torch.bincount(each, minlength=classes) for each in labels]).to(like.dtype)


class Axes(NamedTuple):
    """Singular value decomposition x = U diag(squares)^0.5 V'. `squares` [R]: squared singular values above rounding.
    `along` [S, C, R]: projections of each class's one-hot labels onto U."""

    squares: Tensor
    along: Tensor


def axes(x: Tensor, labels: Tensor, classes: int) -> Axes:
    """Computes the axes from the smaller of x'x and xx', which avoids a decomposition of an N x D matrix."""
    if len(x) < x.shape[1]:
        squares, vectors = _spectrum(x @ x.T)
        return Axes(squares, sums(vectors, labels, classes))
    squares, vectors = _spectrum(x.T @ x)
    return Axes(squares, sums(x, labels, classes) @ (vectors / squares.sqrt()))


def _spectrum(gram: Tensor) -> tuple[Tensor, Tensor]:
    squares, vectors = torch.linalg.eigh(gram)
    significant = squares > RANK * squares[-1].clamp_min(0)
    return squares[significant], vectors[:, significant]
