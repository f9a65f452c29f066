"""Labels of metrics on screens and the format of their values. Both depend on the measure, never on the metric's
name."""

from math import isfinite

from transfer_cli.analysis import numbers
from transfer_cli.analysis.metric import Metric
from transfer_cli.analysis.statistics import Interval
from transfer_cli.measures import Measure
from transfer_cli.report.tables import Unit


def unit_of(measure: Measure) -> Unit:
    """The unit of a column of values with this measure."""
    return "%" if measure.is_share else ""


def of_a_class(measure: Measure) -> str:
    """The label for a single class, from the label of a mean over classes: `macro F1` -> `F1`."""
    return measure.label.removeprefix("macro ")


def value_text(interval: Interval, measure: Measure) -> str:
    """`92.1 ±1.3`, without the unit. A count has no decimals: `3`."""
    if measure.unit == "count" and interval.value.is_integer() and not isfinite(interval.half):
        return f"{interval.value:,.0f}"
    return numbers.plus_minus(interval, scale=measure.scale)


def cell(metric: Metric | None, rule: str = "") -> str:
    """A metric under one rule as text, without its unit. The value of an oracle is in brackets, because it is not a
    result."""
    if metric is None:
        return ""
    text = value_text(Interval(metric.value, metric.lo, metric.hi), metric.measure)
    return f"({text})" if rule == "oracle" else text
