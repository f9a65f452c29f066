"""Labels and values of metrics on screens."""

from math import nan

import pytest

from transfer_cli.analysis.statistics import Interval
from transfer_cli.measures import Measure
from transfer_cli.report.labels import value_text

ALONE = (nan, nan)


@pytest.mark.parametrize(
    ("unit", "values", "text"),
    [
        ("count", (3.0, *ALONE), "3"),
        ("count", (1.5, *ALONE), "1.50"),
        ("count", (3.0, 2.0, 4.0), "3.0 ±1.0"),
        ("share", (0.921, 0.908, 0.934), "92.1 ±1.3"),
    ],
)
def test_a_value_is_shown_by_its_unit(unit: str, values: tuple[float, float, float], text: str) -> None:
    assert value_text(Interval(*values), Measure(unit=unit)) == text  # type: ignore[arg-type]
