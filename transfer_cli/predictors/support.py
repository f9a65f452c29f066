"""Shared by all few-label predictors: shape checks and conversion to float32 or float64. Shapes: E draws (episodes), M
support rows, Q query rows, D features, N classes (`ways`)."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

MAX_NUMBERS = 2**25  # limit for one temporary array: 256 MB in float64


def checked(support: Tensor, labels: Tensor, query: Tensor, ways: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns support [E, M, D], labels [E, M] int64 and query [E, Q, D]. float64 features stay float64, all others
    become float32. Raises ValueError for shapes or labels that do not match."""
    if support.ndim != 3 or query.ndim != 3 or labels.shape != support.shape[:2] or not labels.numel():
        raise ValueError(f"predictor: support {[*support.shape]}, labels {[*labels.shape]}, query {[*query.shape]}")
    if support.shape[::2] != query.shape[::2]:
        raise ValueError(
            f"predictor: support {[*support.shape]} and query {[*query.shape]} differ in draws or features"
        )
    if not 0 <= int(labels.min()) <= int(labels.max()) < ways:
        raise ValueError(f"predictor: labels {int(labels.min())} to {int(labels.max())}, expected 0 to {ways - 1}")
    return full(support), labels.long(), full(query)


def full(x: Tensor) -> Tensor:
    """Converts half precision to float32; means and distances of few rows need the precision."""
    return x if x.dtype == torch.float64 else x.float()


def one_hot(labels: Tensor, ways: int, like: Tensor) -> Tensor:
    """Returns labels [E, M] as [E, M, N] of 0 and 1 in the data type of `like`."""
    return torch.nn.functional.one_hot(labels, ways).to(like.dtype)


def chunks(rows: int, numbers: int) -> Iterator[slice]:
    """Returns slices over `rows` rows, such that an array of `numbers` per row stays below MAX_NUMBERS."""
    step = max(1, MAX_NUMBERS // max(1, numbers))
    return (slice(start, start + step) for start in range(0, rows, step))


FLOOR = 0.01  # divided over all classes, so that a class without a vote is unlikely but not impossible


def as_logits(predictor: Any, scores: Tensor) -> Tensor:
    """Returns scores [..., N] whose softmax gives probabilities. For a predictor with `shares = True` (votes, one-hot
    fits) they are the logarithm of its shares; the most probable class does not change."""
    if not getattr(predictor, "shares", False):
        return scores
    shares = scores.clamp_min(0) + FLOOR / scores.shape[-1]
    return (shares / shares.sum(-1, keepdim=True)).log()
