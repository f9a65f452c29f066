"""Does an exported program say what the run said, and how fast? Pure but for the clock."""

import time
from collections.abc import Callable, Iterable
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor

from transfer_cli.contracts import Inputs

ROWS = 1000  # test rows at most that are compared
CALLS = 50
ROUNDING = {"fp32": 1e-3}  # of the largest score; nets that ran in 16 bits differ by those
COARSE = 0.05
SAME = 0.95  # share of equal classes of a quantised net: its scores may differ

Scores = Callable[[Inputs], Tensor]


class Agreement(NamedTuple):
    """Over `rows`: `equal` classes, the largest `difference` of two scores, the `largest` score."""

    rows: int
    equal: int
    difference: float
    largest: float


def agreement(scores: Scores, told: Iterable[tuple[Inputs, Tensor]]) -> Agreement:
    """Batches of (inputs, scores [B, C] of the run) against the program's own. One that is no number differs by
    infinity."""
    rows = equal = 0
    difference = largest = 0.0
    for inputs, wanted in told:
        found = scores(inputs).float()
        wanted = wanted.float()
        rows += len(wanted)
        equal += int((found.argmax(1) == wanted.argmax(1)).sum())
        off = (found - wanted).abs().nan_to_num(nan=torch.inf)
        difference, largest = max(difference, float(off.max())), max(largest, float(wanted.abs().max()))
    return Agreement(rows, equal, difference, largest)


def allowed(precision: str, largest: float) -> float:
    """How far scores may lie from those of a run computed in `precision`."""
    return ROUNDING.get(precision, COARSE) * max(1.0, largest)


def agrees(found: Agreement, precision: str, quantize: str) -> bool:
    """A quantised net has to give the run's class for SAME of the rows, any other the run's scores."""
    if quantize:
        return found.equal >= SAME * found.rows
    return found.difference <= allowed(precision, found.largest)


def latency(first: Callable[[], object], second: Callable[[], object], calls: int = CALLS) -> tuple[float, float]:
    """Medians in seconds of `calls` calls of both, in turns, so that a busy machine slows both."""
    times: tuple[list[float], list[float]] = ([], [])
    first(), second()
    for _ in range(calls):
        for call, taken in zip((first, second), times):
            start = time.perf_counter()
            call()
            taken.append(time.perf_counter() - start)
    return median(times[0]), median(times[1])
