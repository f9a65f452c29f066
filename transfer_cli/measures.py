"""Measure: the unit, direction and label of a metric. Scorings declare measures, results.json stores them, and reports
read them there, so no report depends on the name of a metric. Standard library only."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

HIDDEN_UNITS = ("", "nats", "bits", "count")  # units that headings omit


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One metric. `unit`: "share" (0 to 1, shown in %), "bits", "nats", "dB", "count", or "" for a plain number in the
    unit of the data. `label`: what people call it; empty: its own name. `primary`: what runs are compared by; one
    metric of a scoring has it. `watched`: shown at each validation. `shown`: stands in the tables for people; machines
    get all metrics. `perfect`: the best value that can be reached, if there is one."""

    unit: str = ""
    lower_is_better: bool = False
    label: str = ""
    primary: bool = False
    watched: bool = False
    shown: bool = True
    perfect: float | None = None

    @property
    def is_share(self) -> bool:
        return self.unit == "share"

    @property
    def scale(self) -> int:
        """Factor for display: shares are shown in %."""
        return 100 if self.is_share else 1

    @property
    def sign(self) -> int:
        """1 or -1: sorting by sign * value puts the best value first."""
        return 1 if self.lower_is_better else -1

    @property
    def suffix(self) -> str:
        """The unit shown after a number: ` %`, ` dB`; empty where the label or the number implies it."""
        return " %" if self.is_share else "" if self.unit in HIDDEN_UNITS else f" {self.unit}"

    @property
    def heading(self) -> str:
        """The label with its unit: `accuracy %`."""
        return self.label + self.suffix

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_of(measures: Mapping[str, Measure], name: str) -> Measure:
    """The measure of the metric `name`. A metric of one class, `f1/cat`, has the measure of its family, `f1`.
    Raises KeyError for a metric without a measure."""
    return measures[name] if name in measures else measures[name.partition("/")[0]]


def primary_of(measures: Mapping[str, Measure]) -> str:
    """The name of the primary metric. Raises ValueError unless there is exactly one."""
    names = [name for name, measure in measures.items() if measure.primary]
    if len(names) != 1:
        raise ValueError(f"one metric must be primary, not {len(names)}: {', '.join(names)}")
    return names[0]
