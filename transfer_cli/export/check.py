"""Compares the predictions of an exported program with those of the run, and measures its latency."""

import time
from collections.abc import Callable, Iterable
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

from transfer_cli.contracts import Inputs

ROWS = 1000  # at most so many test rows are compared
CALLS = 50
ROUNDING = {"fp32": 1e-3}  # allowed difference relative to the largest score
COARSE = 0.05  # the same for runs in 16 bits
SAME = 0.95  # required share of equal classes for a quantised net, whose scores may differ

Scores = Callable[[Inputs], Tensor]


class Agreement(NamedTuple):
    """Result over `rows`: the number of `equal` classes, the largest `difference` of two scores, the `largest`
    score."""

    rows: int
    equal: int
    difference: float
    largest: float


def agreement(scores: Scores, expected_batches: Iterable[tuple[Inputs, Tensor]]) -> Agreement:
    """Compares batches of (inputs, scores [B, C] of the run) with the scores of the program. A score that is not a
    number counts as an infinite difference."""
    rows = equal = 0
    difference = largest = 0.0
    for inputs, expected in expected_batches:
        actual = scores(inputs).float()
        expected = expected.float()
        rows += len(expected)
        equal += int((actual.argmax(1) == expected.argmax(1)).sum())
        differences = (actual - expected).abs().nan_to_num(nan=torch.inf)
        difference, largest = max(difference, float(differences.max())), max(largest, float(expected.abs().max()))
    return Agreement(rows, equal, difference, largest)


def allowed(precision: str, largest: float) -> float:
    """Returns the largest allowed difference of scores from a run computed in `precision`."""
    return ROUNDING.get(precision, COARSE) * max(1.0, largest)


def agrees(result: Agreement, precision: str, quantize: str) -> bool:
    """A quantised net must give the run's class for a share SAME of the rows; any other net must give the run's
    scores."""
    if quantize:
        return result.equal >= SAME * result.rows
    return result.difference <= allowed(precision, result.largest)


def latency(first: Callable[[], object], second: Callable[[], object], calls: int = CALLS) -> tuple[float, float]:
    """Returns the median seconds of `calls` calls of each function. The calls alternate, so that machine noise affects
    both equally."""
    times: tuple[list[float], list[float]] = ([], [])
    first(), second()
    for _ in range(calls):
        for call, seconds in zip((first, second), times):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
    return median(times[0]), median(times[1])
