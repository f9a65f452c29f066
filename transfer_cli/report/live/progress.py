"""The progress of a training: its loss curve in a few bars, its pace and the remaining time."""

from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

from transfer_cli.analysis import numbers
from transfer_cli.report.text import clean

FEW_STEPS = 5  # after fewer steps there is no estimate
BARS = "▁▂▃▄▅▆▇█"


class Curve:
    """Mean losses over equal parts of the training so far, in bounded memory."""

    LIMIT = 64

    def __init__(self) -> None:
        self._parts: list[tuple[float, int]] = []  # (sum, samples)
        self._stride = 1

    def add(self, loss: float) -> None:
        if self._parts and self._parts[-1][1] < self._stride:
            total, samples = self._parts[-1]
            self._parts[-1] = total + loss, samples + 1
            return
        if len(self._parts) == self.LIMIT:
            pairs = zip(self._parts[::2], self._parts[1::2], strict=True)
            self._parts = [(one + two, m + n) for (one, m), (two, n) in pairs]
            self._stride *= 2
        self._parts.append((loss, 1))

    def means(self, parts: int = 8) -> list[float]:
        """At most `parts` means, oldest first."""
        have = len(self._parts)
        edges = [round(at * have / min(parts, have)) for at in range(min(parts, have) + 1)] if have else []
        slices = [self._parts[start:end] for start, end in pairwise(edges)]
        return [sum(total for total, _ in piece) / sum(n for _, n in piece) for piece in slices]

    def text(self, encoding: str = "utf-8") -> str:
        """`1.84 ▇▆▅▄▃▃▂▂ 0.61`; `1.84 -> 0.61` if `encoding` has no bars."""
        means = self.means()
        if len(means) < 2:
            return numbers.plain(means[0]) if means else ""
        bars = spark(means) if clean(BARS, encoding) == BARS else "->"
        return f"{numbers.plain(means[0])} {bars} {numbers.plain(means[-1])}"


def spark(values: list[float]) -> str:
    """One bar for each value, the lowest for the smallest value; a value that is not finite gets the highest bar."""
    finite = [value for value in values if isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    top = len(BARS) - 1
    return "".join(BARS[round((v - low) / ((high - low) or 1.0) * top) if isfinite(v) else top] for v in values)


@dataclass
class Pace:
    """The progress of a stage. `first`: the step at the time `begun`, from which the pace is measured; `step` of
    `steps` are done."""

    name: str
    begun: float
    first: int
    step: int
    steps: int

    def left(self, now: float) -> float | None:
        """The estimated remaining seconds; None before there are enough steps for an estimate."""
        steps_done = self.step - self.first
        if steps_done < FEW_STEPS or now <= self.begun:
            return None
        return (now - self.begun) / steps_done * (self.steps - self.step)


def paced(pace: Pace | None, name: str, step: int, steps: int, now: float) -> Pace:
    """The updated pace of a stage. It is measured from the first reported step, because a resumed stage does not begin
    at step 0."""
    if pace is None or pace.name != name or step < pace.step:
        return Pace(name, now, step, step, steps)
    pace.step, pace.steps = step, steps
    return pace
