"""Tests of differences against scipy, and the laws they must keep."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from transfer_cli.analysis.significance import (
    detectable,
    discordant,
    holm,
    paired,
    pooled_sd,
    seeds_needed,
    sign_flip,
    welch,
)
from transfer_cli.analysis.statistics import bootstrap, mean

VALUES = st.lists(st.floats(-10, 10), min_size=2, max_size=12).filter(lambda v: max(v) - min(v) > 1e-3)


@given(VALUES, st.randoms(use_true_random=False))
def test_the_paired_test_agrees_with_scipy(values: list[float], random) -> None:
    others = [random.uniform(-10, 10) for _ in values]
    differences = [a - b for a, b in zip(values, others)]
    assume(max(differences) - min(differences) > 1e-3)
    theirs = stats.ttest_rel(values, others)
    ours = paired(differences)
    lo, hi = theirs.confidence_interval(0.95)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-8)
    assert (ours.delta.lo, ours.delta.hi) == pytest.approx((lo, hi), rel=1e-8, abs=1e-9)
    assert ours.effect == pytest.approx(np.mean(differences) / np.std(differences, ddof=1), rel=1e-8, abs=1e-12)


@given(VALUES, VALUES)
def test_welch_agrees_with_scipy(these: list[float], those: list[float]) -> None:
    theirs = stats.ttest_ind(these, those, equal_var=False)
    ours = welch(these, those)
    lo, hi = theirs.confidence_interval(0.95)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-8)
    assert (ours.delta.lo, ours.delta.hi) == pytest.approx((lo, hi), rel=1e-7, abs=1e-9)


def test_hedges_g_by_hand() -> None:
    """Means 2 and 4, both sd 1, n = 3 each: d = -2, times 1 - 3 / (4 * 4 - 1) = 0.8."""
    assert welch([1, 2, 3], [3, 4, 5]).effect == pytest.approx(-1.6)


@given(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=9))
def test_sign_flips_agree_with_brute_force_and_scipy(differences: list[float]) -> None:
    seen = abs(sum(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences))) for signs in product((1, -1), repeat=len(differences))]
    assert sign_flip(differences) == sum(total >= seen - 1e-9 for total in sums) / len(sums)
    if len(differences) > 1:
        theirs = stats.permutation_test((differences,), np.sum, permutation_type="samples", n_resamples=np.inf)
        assert sign_flip(differences) == pytest.approx(theirs.pvalue)


def test_five_pairs_can_never_convince_sign_flips_and_eight_can() -> None:
    assert sign_flip([1.0] * 5) == 2 / 32 > 0.05
    assert sign_flip([1.0] * 8) == 2 / 256
    assert math.isnan(paired([1.0, 2.0, 3.0, 4.0, 5.0]).p_flip)
    assert paired([0.5 + 0.1 * i for i in range(8)]).p_flip == 2 / 256


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_agrees_with_scipy(wins: int, losses: int) -> None:
    assume(wins + losses > 0)
    assert discordant(wins, losses) == pytest.approx(stats.binomtest(wins, wins + losses).pvalue, rel=1e-7)
    assert discordant(0, 0) == 1.0


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=8))
def test_holm_rejects_as_the_step_down_rule_does(p_values: list[float]) -> None:
    """Reject the smallest while p <= alpha / (tests left), for any alpha."""
    corrected = holm(p_values)
    for alpha in (0.01, 0.05, 0.2, 0.7):
        assume(all(abs(p * k - alpha) > 1e-9 for p in p_values for k in range(1, 9)))
        order, rejected = sorted(range(len(p_values)), key=p_values.__getitem__), set()
        for rank, at in enumerate(order):
            if p_values[at] > alpha / (len(p_values) - rank):
                break
            rejected.add(at)
        assert {at for at, p in enumerate(corrected) if p <= alpha} == rejected


def test_holm_by_hand_and_what_was_not_tested() -> None:
    assert holm([0.01, math.nan, 0.04, 0.03])[0] == pytest.approx(0.03)
    assert [holm([0.01, math.nan, 0.04, 0.03])[at] for at in (2, 3)] == pytest.approx([0.06, 0.06])
    assert math.isnan(holm([0.01, math.nan])[1])
    assert holm([]) == []


def test_equal_pairs_prove_nothing_beyond_the_grain() -> None:
    """Three seeds, each two of 82 pictures better: without the grain p would be 0."""
    step = 1 / 82
    found = paired([2 * step] * 3, grain=step)
    t = 2 * step / (step / math.sqrt(6) / math.sqrt(3))
    assert found.p == pytest.approx(2 * stats.t.sf(t, 2))
    assert math.isnan(paired([0.1, 0.1]).p)
    assert paired([0.0, 0.0]).p == 1.0
    assert math.isnan(welch([0.1, 0.1], [0.2, 0.2]).p)


def test_pooled_sd_by_hand() -> None:
    """Sums of squares 2 and 0.5, three and two values: 2.5 / 3."""
    assert pooled_sd([[1, 2, 3], [1, 2], [9]]) == pytest.approx(math.sqrt(2.5 / 3))
    assert math.isnan(pooled_sd([[1.0], []]))


@pytest.mark.parametrize("seeds", [3, 8, 20])
def test_a_detectable_difference_is_found_in_four_of_five_cases(seeds: int) -> None:
    """Power of the paired t test by the noncentral t distribution, against 0.8 asked for."""
    spread = 1.6
    shift = detectable(seeds, spread) / (spread * math.sqrt(2 / seeds))
    edge = stats.t.ppf(0.975, seeds - 1)
    power = stats.nct.sf(edge, seeds - 1, shift) + stats.nct.cdf(-edge, seeds - 1, shift)
    assert power == pytest.approx(0.8, abs=0.04)


@given(st.floats(0.3, 5))
def test_seeds_needed_are_the_fewest(difference: float) -> None:
    found = seeds_needed(difference, 1.6)
    assert found is not None
    assert detectable(found, 1.6) <= difference
    assert found == 2 or detectable(found - 1, 1.6) > difference


def test_what_no_number_of_seeds_shows() -> None:
    assert seeds_needed(0.001, 1.6) is None
    assert seeds_needed(0.0, 1.6) is None


@settings(max_examples=10)
@given(VALUES)
def test_the_bootstrap_agrees_with_scipy(values: list[float]) -> None:
    theirs = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=0).confidence_interval
    ours, width = bootstrap(values), max(values) - min(values)
    assert ours.value == mean(values)
    assert (ours.lo, ours.hi) == pytest.approx((theirs.low, theirs.high), abs=0.1 * width)
    assert bootstrap(values) == ours
    assert math.isnan(bootstrap([1.0]).lo)


def test_rounding_is_no_proof() -> None:
    """Equal differences of recalls are equal but for the last bits of floats: nothing can be judged by their spread."""
    equal = [17 / 18 - 1, 16 / 18 - 17 / 18, 15 / 18 - 16 / 18]
    assert max(equal) != min(equal)
    assert math.isnan(paired(equal).p)
    assert math.isnan(welch([0.1 + 0.2, 0.3], [0.8, 0.8]).p)
    assert paired(equal, grain=1 / 18).p > 0.05
