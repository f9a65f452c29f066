"""How numbers look on a screen."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_cli.analysis import numbers
from transfer_cli.analysis.statistics import Interval

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def around(value: float, half: float) -> Interval:
    return Interval(value, value - half, value + half)


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [
        (92.1234, 1.31, "92.1 ±1.3"),
        (91.73, 0.539, "91.73 ±0.54"),
        (71.5, 9.96, "72 ±10"),
        (-2.3, 7.0, "-2.3 ±7.0"),
        (0.712, 0.0412, "0.712 ±0.041"),
        (1234.5, 120.0, "1234 ±120"),
        (0.5, math.nan, "0.500"),
    ],
)
def test_two_digits_of_the_half_decide(value: float, half: float, text: str) -> None:
    assert numbers.plus_minus(around(value, half)) == text


def test_shares_become_percent() -> None:
    assert numbers.plus_minus(Interval(0.909, 0.896, 0.922), scale=100) == "90.9 ±1.3"
    assert numbers.plus_minus(Interval(0.987, math.nan, math.nan), scale=100) == "98.7"
    assert numbers.percent(0.98749) == "98.7"


@given(st.floats(1e-6, 1e6))
def test_half_is_never_shown_as_zero_and_is_off_by_less_than_a_twentieth(half: float) -> None:
    shown = float(numbers.plus_minus(around(0.0, half)).split("±")[1])
    assert shown == pytest.approx(half, rel=0.0501)


@pytest.mark.parametrize(
    ("function", "value", "text"),
    [
        (numbers.count, 1240, "1,240"),
        (numbers.short, 812, "812"),
        (numbers.short, 3_130, "3.1 k"),
        (numbers.short, 1_230_000, "1.2 M"),
        (numbers.short, 11_200_000, "11 M"),
        (numbers.short, 999_950, "1.0 M"),
        (numbers.short, 0, "0"),
        (numbers.size, 812, "812 B"),
        (numbers.size, 20_000, "20 kB"),
        (numbers.size, 4_870_000, "4.9 MB"),
        (numbers.size, 912_000_000, "0.9 GB"),
        (numbers.duration, 0.44, "0.4 s"),
        (numbers.duration, 0.97, "0m 01s"),
        (numbers.duration, 12.4, "0m 12s"),
        (numbers.duration, 59.7, "1m 00s"),
        (numbers.duration, 161, "2m 41s"),
        (numbers.duration, 3900, "1h 05m"),
        (numbers.duration, 86400 * 2 + 3 * 3600, "2d 03h"),
        (numbers.about, 0.2, "~1 s"),
        (numbers.about, 10.2, "~10 s"),
        (numbers.about, 660, "~11 min"),
        (numbers.about, 3900, "~1h 05m"),
        (numbers.plain, 0.6129, "0.613"),
        (numbers.plain, 12.44, "12.4"),
        (numbers.plain, 1240.4, "1,240"),
        (numbers.plain, 9.996, "10.0"),
        (numbers.plain, 0, "0.00"),
        (numbers.plain, 2e-6, "2.0e-06"),
        (numbers.plain, math.inf, "inf"),
    ],
)
def test_numbers(function, value, text) -> None:  # type: ignore[no-untyped-def]
    assert function(value) == text


@pytest.mark.parametrize(
    ("past", "text"),
    [
        (timedelta(seconds=20), "just now"),
        (timedelta(minutes=12), "12 min ago"),
        (timedelta(hours=5), "5 h ago"),
        (timedelta(hours=30), "yesterday"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=8), "2026-11-14"),
    ],
)
def test_ago(past: timedelta, text: str) -> None:
    assert numbers.ago(NOON - past, NOON) == text


@pytest.mark.parametrize("stamp", ["2026-11-22T12:00:00Z", "2026-11-22T12:00:00", "2026-11-22T13:00:00+01:00"])
def test_times_are_utc(stamp: str) -> None:
    assert numbers.utc(stamp) == NOON


def test_an_interval_of_rounding_alone_shows_no_digits_of_it() -> None:
    """Three equal differences of recalls, 1 of 37, whose mean is off in the 17th digit."""
    assert numbers.signed(Interval(-1 / 37, -1 / 37 - 1e-17, -1 / 37 + 1e-17), 100) == "-2.7 ±0.0"
