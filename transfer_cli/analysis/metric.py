"""A score of a run as a value, and how documents spell its name: `test/accuracy`, its half interval
`test/accuracy_ci95`, of one class `test/recall/cat`, in a validation `target_val/accuracy`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from math import nan
from typing import Any

from transfer_cli import legacy_measures
from transfer_cli.analysis.statistics import Interval, inside, wilson
from transfer_cli.measures import Measure

PARTS = ("test/", "val/")  # of the target that an evaluation scores
SIDES = ("source_val", "target_val", "source", "target", "oracle")  # `target_val/accuracy`: a column of validation
OVER_ROWS = ("test ", "val ")  # how the text that says what an interval is over begins, where it is over rows
HALF = "_ci95"  # ends the name of half an interval
STEP = "step"  # stands among the metrics of a rule: at which step its snapshot was taken
KNOWN = tuple(Measure.__dataclass_fields__)  # entries of a measure
MARK = "at_"  # begins the name of a net that was handed on at a step


def bare(name: str) -> str:
    """`test/accuracy`, `val/accuracy` -> `accuracy`."""
    return name.removeprefix("test/").removeprefix("val/")


@lru_cache(maxsize=1024)
def _labelled(measure: Measure, name: str) -> Measure:
    return replace(measure, label=name)


def measure_in(measures: Mapping[str, Measure], name: str, other: Measure = legacy_measures.OTHER) -> Measure:
    """The measure of a metric by its bare name, its label filled in. `f1/cat` has the measure of its family f1 and
    `target_val/accuracy` that of accuracy, under their own names. `other`: of one that nobody declared."""
    if found := measures.get(name):
        return found if found.label else _labelled(found, name)
    first, _, rest = name.partition("/")
    if first in SIDES and rest:
        return _labelled(measure_in(measures, rest, other), name)
    return _labelled(measures.get(first, other), name)


def watched_of(measures: Mapping[str, Measure]) -> list[str]:
    """Names of the metrics shown at each validation, the primary first."""
    watched = [name for name, measure in measures.items() if measure.watched]
    return sorted(watched, key=lambda name: not measures[name].primary)


def legacy_measure(name: str) -> Measure:
    """The measure of a metric where no run is at hand to declare it."""
    return measure_in(legacy_measures.MEASURES, bare(name))


@dataclass(frozen=True)
class Metric:
    """A score of a run. `name`: bare, `accuracy`, of one class `recall/cat`. `lo`, `hi`: ends of its 95 % interval, nan
    without one. `n`: rows or draws it is of. `grain`: the step in which it moves, 1 / n of a share of right rows, else
    0."""

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
        """Half of the interval; nan without one."""
        return (self.hi - self.lo) / 2

    @property
    def overall(self) -> bool:
        """Of all classes together, not of one."""
        return "/" not in self.name

    @property
    def interval(self) -> Interval:
        """Value and ends; those of a share are kept in 0..1."""
        found = Interval(self.value, self.lo, self.hi)
        return inside(found) if self.measure.is_share else found


Scores = Mapping[str, Metric]  # by bare name


def counts_right_rows(name: str, value: float, n: int, *, stated: bool) -> bool:
    """Whether a share is of rows that are right: by its name where the run states no interval (`stated`), else where
    it is a whole number of rows."""
    if not stated:
        return name in legacy_measures.OF_RIGHT_ROWS and 0 <= value <= 1
    return abs(value * n - round(value * n)) < 1e-3


def ends_around(value: float, half: float | None, rows: int) -> tuple[float, float]:
    """Ends of an interval known by its half: Wilson's of a share of `rows` right rows, else as far on both sides."""
    if half is None:
        return nan, nan
    if rows:
        _, low, high = wilson(value, rows)
        return low, high
    return value - half, value + half


def measure_from(entry: Mapping[str, Any]) -> Measure:
    return Measure(**{name: entry[name] for name in KNOWN if name in entry})
