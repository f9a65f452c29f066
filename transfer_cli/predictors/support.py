"""What every few-label predictor does first: check shapes, take numbers as float32 or better.
Shapes: E draws (episodes), M support rows, Q query rows, D features, N classes (`ways`)."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

MOST_NUMBERS = 2**25  # of one temporary array: 256 MB in float64


def checked(support: Tensor, labels: Tensor, query: Tensor, ways: int) -> tuple[Tensor, Tensor, Tensor]:
    """support [E, M, D], labels [E, M] int64, query [E, Q, D]; features keep float64, all else becomes float32.
    Raises ValueError for shapes or labels that do not fit."""
    if support.ndim != 3 or query.ndim != 3 or labels.shape != support.shape[:2] or not labels.numel():
        raise ValueError(f"predictor: support {[*support.shape]}, labels {[*labels.shape]}, query {[*query.shape]}")
    if support.shape[::2] != query.shape[::2]:
        raise ValueError(
            f"predictor: support {[*support.shape]} and query {[*query.shape]} differ in draws or features"
        )
    if not 0 <= int(labels.min()) <= int(labels.max()) < ways:
        raise ValueError(f"predictor: labels {int(labels.min())} to {int(labels.max())}, want 0 to {ways - 1}")
    return full(support), labels.long(), full(query)


def full(x: Tensor) -> Tensor:
    """Half precision to float32: means and distances of few rows need the digits."""
    return x if x.dtype == torch.float64 else x.float()


def one_hot(labels: Tensor, ways: int, like: Tensor) -> Tensor:
    """labels [E, M] -> [E, M, N] of 0 and 1 in the type of `like`."""
    return torch.nn.functional.one_hot(labels, ways).to(like.dtype)


def chunks(rows: int, numbers: int) -> Iterator[slice]:
    """Slices of `rows` rows whose arrays of `numbers` a row stay below MOST_NUMBERS."""
    step = max(1, MOST_NUMBERS // max(1, numbers))
    return (slice(start, start + step) for start in range(0, rows, step))


FLOOR = 0.01  # spread over all classes: one without a vote is unlikely, not impossible


def as_logits(predictor: Any, scores: Tensor) -> Tensor:
    """Scores [..., N] whose softmax are probabilities. Of a predictor that says `shares = True` (votes, one-hot fits)
    they are the logarithm of its shares; the best class stays the best."""
    if not getattr(predictor, "shares", False):
        return scores
    shares = scores.clamp_min(0) + FLOOR / scores.shape[-1]
    return (shares / shares.sum(-1, keepdim=True)).log()
