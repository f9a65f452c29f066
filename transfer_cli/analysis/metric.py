"""A metric of a run as a value, and the spelling of metric names in documents: `test/accuracy`; `test/accuracy_ci95`
for half the width of its interval; `test/recall/cat` for one class; `target_val/accuracy` for a validation."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import nan
from typing import Any

from transfer_cli import legacy_measures
from transfer_cli.analysis.statistics import Interval, inside, wilson
from transfer_cli.measures import Measure

PARTS = ("test/", "val/")  # prefixes that say which part of the target was scored
SIDES = ("source_val", "target_val", "source", "target", "oracle")  # prefixes of validation metrics
OVER_ROWS = ("test ", "val ")  # beginnings of `over`, the text that says what an interval is over, if it is over rows
HALF = "_ci95"  # suffix of the half width of an interval
STEP = "step"  # an entry among the metrics of a rule: the training step of its snapshot
KNOWN = tuple(Measure.__dataclass_fields__)  # entries of a measure
MARK = "at_"  # prefix of the name of a net that was handed on at a mark


def bare(name: str) -> str:
    """`test/accuracy`, `val/accuracy` -> `accuracy`."""
    return name.removeprefix("test/").removeprefix("val/")


@lru_cache(maxsize=1024)
def _labelled(measure: Measure, name: str) -> Measure:
    return replace(measure, label=name)


def measure_in(measures: Mapping[str, Measure], name: str, other: Measure = legacy_measures.OTHER) -> Measure:
    """The measure of a metric by its bare name, with its label filled in. `f1/cat` has the measure of its family f1,
    and `target_val/accuracy` that of accuracy, each with its own name as the label. `other`: the measure of a metric
    that no document declares."""
    if measure := measures.get(name):
        return measure if measure.label else _labelled(measure, name)
    first, _, rest = name.partition("/")
    if first in SIDES and rest:
        return _labelled(measure_in(measures, rest, other), name)
    return _labelled(measures.get(first, other), name)


def watched_of(measures: Mapping[str, Measure]) -> list[str]:
    """Names of the metrics that are shown at each validation, the primary one first."""
    watched = [name for name, measure in measures.items() if measure.watched]
    return sorted(watched, key=lambda name: not measures[name].primary)


def legacy_measure(name: str) -> Measure:
    """The measure of a metric, for callers that have no run that declares it."""
    return measure_in(legacy_measures.MEASURES, bare(name))


@dataclass(frozen=True)
class Metric:
    """A metric of a run. `name`: its bare name, `accuracy`, or of one class `recall/cat`. `lo`, `hi`: ends of its 95 %
    confidence interval, nan without one. `n`: the number of rows or draws behind it. `grain`: the smallest possible
    change of the value, 1 / n for a share of correct rows, else 0."""

    name: str
    value: float
    lo: float
    hi: float
    n: int
    measure: Measure
    grain: float = 0.0

    @property
    def unit(self) -> str:
        return self.measure.unit

    @property
    def lower_is_better(self) -> bool:
        return self.measure.lower_is_better

    @property
    def half(self) -> float:
        """Half the width of the interval; nan without one."""
        return (self.hi - self.lo) / 2

    @property
    def overall(self) -> bool:
        """Whether it is computed over all classes, not over one class."""
        return "/" not in self.name

    @property
    def interval(self) -> Interval:
        """Value and ends; the ends of a share are limited to [0, 1]."""
        interval = Interval(self.value, self.lo, self.hi)
        return inside(interval) if self.measure.is_share else interval


Scores = Mapping[str, Metric]  # by bare name


def counts_right_rows(name: str, value: float, n: int, *, stated: bool) -> bool:
    """Whether a metric is the share of correct rows, of `n`. `stated`: the run states an interval; then value * n must
    be a whole number. Otherwise the name decides, for runs of older versions."""
    if not stated:
        return name in legacy_measures.OF_RIGHT_ROWS and 0 <= value <= 1
    return abs(value * n - round(value * n)) < 1e-3


def ends_around(value: float, half: float | None, rows: int) -> tuple[float, float]:
    """Ends of an interval of which the half width is known: Wilson's interval for a share of `rows` correct rows
    (`rows` > 0), else symmetric around the value; nan if `half` is None."""
    if half is None:
        return nan, nan
    if rows:
        _, low, high = wilson(value, rows)
        return low, high
    return value - half, value + half


def measure_from(entry: Mapping[str, Any]) -> Measure:
    """The measure that an entry of results.json declares; entries that this version does not know are ignored."""
    return _measure(tuple((name, entry[name]) for name in KNOWN if name in entry))


@lru_cache(maxsize=256)
def _measure(entries: tuple[tuple[str, Any], ...]) -> Measure:
    """Most runs declare the same measures."""
    return Measure(**dict(entries))
