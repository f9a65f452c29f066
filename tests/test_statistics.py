"""Statistics against scipy, and the laws they must keep."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from madeup import run
from scipy import stats

from transfer_cli.analysis.results import Run
from transfer_cli.analysis.statistics import Interval, inside, mean, sd, t_interval, t_quantile, wilson


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 9, 29, 119, 599, 9_999, 1_000_000])
@pytest.mark.parametrize("p", [0.001, 0.025, 0.3, 0.5, 0.55, 0.9, 0.975, 0.995, 0.9999])
def test_t_quantile_agrees_with_scipy(p: float, df: int) -> None:
    assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("p", [0.0, 1.0, 1.5, math.nan])
def test_t_quantile_refuses_what_is_no_probability(p: float) -> None:
    with pytest.raises(ValueError, match="want 0 < p < 1"):
        t_quantile(p, 5)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30).filter(lambda v: max(v) - min(v) > 1e-3))
def test_t_interval_agrees_with_scipy(values: list[float]) -> None:
    lo, hi = stats.t.interval(0.95, len(values) - 1, loc=sum(values) / len(values), scale=stats.sem(values))
    ours = t_interval(values)
    assert ours.lo == pytest.approx(lo, rel=1e-9, abs=1e-9)
    assert ours.hi == pytest.approx(hi, rel=1e-9, abs=1e-9)
    assert ours.half == pytest.approx((hi - lo) / 2, rel=1e-9)


def test_t_interval_by_hand() -> None:
    """1, 2, 3: mean 2, sd 1, t(.975, 2) = 4.3026527, half = 4.3026527 / sqrt(3)."""
    assert t_interval([1, 2, 3]).half == pytest.approx(2.4841377118194)
    assert sd([1, 2, 3]) == 1


def test_one_value_has_no_interval() -> None:
    only = t_interval([0.9])
    assert only.value == 0.9
    assert math.isnan(only.lo)
    assert math.isnan(only.half)
    assert math.isnan(sd([0.9]))
    assert math.isnan(mean([]))


@given(n=st.integers(1, 5000), data=st.data())
def test_wilson_agrees_with_scipy_and_stays_in_range(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    expected = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    ours = wilson(hits / n, n)
    assert ours.lo == pytest.approx(expected.low, abs=1e-12)
    assert ours.hi == pytest.approx(expected.high, abs=1e-12)
    assert 0 <= ours.lo <= ours.value <= ours.hi <= 1
    assert ours.half > 0


@pytest.mark.parametrize(("share", "n"), [(0.5, 0), (1.2, 10), (-0.1, 10)])
def test_wilson_refuses_what_is_no_share(share: float, n: int) -> None:
    with pytest.raises(ValueError, match=r"want n >= 1 and a share in 0\.\.1"):
        wilson(share, n)


def test_an_interval_over_test_rows_is_wilsons_and_over_draws_the_value_and_half() -> None:
    def measured(value: float, half: float | None, over: str) -> Interval:
        head = {"name": "test/accuracy", "rule": "final", "value": value, "ci95": half, "n": 50, "over": over}
        found = Run.of(run(headline=head)).headline
        assert found is not None
        return Interval(found.metric.value, found.metric.lo, found.metric.hi)

    assert measured(0.99, 0.03, "test pictures") == wilson(0.99, 50)
    assert measured(0.5, 0.25, "draws") == Interval(0.5, 0.25, 0.75)
    assert math.isnan(Run.of(run()).scores()["nll"].half)


def test_inside_keeps_the_ends_in_range_and_no_end_no_end() -> None:
    assert inside(Interval(0.9, -0.1, 1.2)) == Interval(0.9, 0.0, 1.0)
    assert math.isnan(inside(t_interval([0.9])).hi)
