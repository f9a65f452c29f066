"""What metrics are called on screens, and how their values are written: by their measures, never by their names."""

from transfer_cli.analysis import numbers
from transfer_cli.analysis.metric import Metric
from transfer_cli.analysis.statistics import Interval
from transfer_cli.measures import Measure
from transfer_cli.report.tables import Unit


def unit_of(measure: Measure) -> Unit:
    """The unit of a column of values."""
    return "%" if measure.is_share else ""


def of_a_class(measure: Measure) -> str:
    """The label of a mean over classes, for one class of it: `macro F1` -> `F1`."""
    return measure.label.removeprefix("macro ")


def value_text(interval: Interval, measure: Measure) -> str:
    """`92.1 ±1.3`, without the unit."""
    return numbers.plus_minus(interval, scale=measure.scale)


def cell(metric: Metric | None, rule: str = "") -> str:
    """One metric of one rule as people read it, without its unit; an oracle's in brackets: it is no result."""
    if metric is None:
        return ""
    text = value_text(Interval(metric.value, metric.lo, metric.hi), metric.measure)
    return f"({text})" if rule == "oracle" else text
