"""Significance tests of two groups, the correction for several tests, and the number of seeds that a test needs. Plain
Python, checked against scipy in the tests. Every p value is two-sided."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, nan, sqrt
from typing import Literal

from transfer_cli.analysis.statistics import LEVEL, Interval, mean, sd, t_quantile, t_tail

ALPHA = 1 - LEVEL
POWER = 0.8  # the probability that a test detects a difference of the given size
FLIPS = range(8, 17)  # numbers of pairs for sign flips: below 8 no p is small enough, above 16 the t test is sufficient
MOST_SEEDS = 1000
How = Literal["paired", "Welch"]


@dataclass(frozen=True)
class Difference:
    """The difference group minus baseline. `effect`: the difference in standard deviations (Cohen's d of the pairs, or
    Hedges' g without pairs). `p` is nan if nothing can be tested. `n`: the number of pairs, or of values in the smaller
    group. `p_flip`: p of the sign-flip test, nan if it does not apply."""

    delta: Interval
    p: float
    effect: float
    how: How
    n: int
    p_flip: float = nan


ROUNDING = 1e-9  # relative to the difference: a smaller standard error is only the rounding of float sums


def paired(differences: Sequence[float], grain: float = 0.0, overlap: float = 0.0) -> Difference:
    """Paired t test of at least two differences. `grain`: the smallest possible change of a score (1 / test rows). The
    standard deviation is at least what rounding to the grain explains, because otherwise a few equal differences would
    have p 0. `overlap`: for folds, which share training rows, the validation rows divided by the training rows (Nadeau
    & Bengio 2003, Machine Learning 52)."""
    n, centre = len(differences), mean(differences)
    spread = max(sd(differences), grain / sqrt(6))
    flip = sign_flip(differences) if n in FLIPS else nan
    return Difference(
        *_t_test(centre, spread * sqrt(1 / n + overlap), n - 1), _ratio(centre, spread), "paired", n, flip
    )


def welch(these: Sequence[float], those: Sequence[float], grain: float = 0.0) -> Difference:
    """Welch's t test of two groups of at least two values each, with unequal variances. Welch 1947; effect size: Hedges
    1981. `grain`: as in `paired`."""
    n, m = len(these), len(those)
    v, w = (max(sd(values) ** 2, grain**2 / 12) for values in (these, those))
    centre, error = mean(these) - mean(those), v / n + w / m
    df = error**2 / ((v / n) ** 2 / (n - 1) + (w / m) ** 2 / (m - 1)) if error else float(min(n, m) - 1)
    pooled = sqrt(((n - 1) * v + (m - 1) * w) / (n + m - 2))
    unbiased = 1 - 3 / (4 * (n + m - 2) - 1)
    return Difference(*_t_test(centre, sqrt(error), df), unbiased * _ratio(centre, pooled), "Welch", min(n, m))


def _t_test(centre: float, error: float, df: float) -> tuple[Interval, float]:
    """Confidence interval and p of a difference `centre` with standard error `error` and `df` degrees of freedom."""
    if error <= ROUNDING * abs(centre):  # no spread except rounding: the groups are equal, or there is nothing to test
        return (Interval(centre, nan, nan), nan) if centre else (Interval(0.0, 0.0, 0.0), 1.0)
    half = t_quantile((1 + LEVEL) / 2, df) * error
    return Interval(centre, centre - half, centre + half), 2 * t_tail(abs(centre) / error, df)


def _ratio(centre: float, spread: float) -> float:
    return centre / spread if spread else nan


def sign_flip(differences: Sequence[float]) -> float:
    """p of the exact sign-flip test: the share of all 2^n choices of signs whose sum is at least as far from 0 as the
    observed sum. Fisher 1935; it only assumes symmetry. Raises ValueError for more than 20 differences."""
    if len(differences) > 20:
        raise ValueError(f"sign_flip: {len(differences)} differences, at most 20")
    sums = [0.0]
    for each in differences:
        sums = [total + sign for total in sums for sign in (each, -each)]
    observed = abs(sums[0]) * (1 - 1e-12)
    return sum(abs(total) >= observed for total in sums) / len(sums)


def discordant(wins: int, losses: int) -> float:
    """p of McNemar's exact test. `wins` and `losses`: the numbers of rows that only the first or only the second of two
    nets predicts correctly."""
    n, fewer = wins + losses, min(wins, losses)
    logs = [lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) - n * log(2) for k in range(fewer + 1)]
    return min(1.0, 2 * sum(map(exp, logs)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for several tests, so that the probability of any false positive stays below alpha. Holm 1979.
    nan means not tested: it stays nan and does not count as a test."""
    order = sorted((p, at) for at, p in enumerate(p_values) if p == p)
    corrected, worst = [nan] * len(p_values), 0.0
    for rank, (p, at) in enumerate(order):
        worst = max(worst, min(1.0, (len(order) - rank) * p))
        corrected[at] = worst
    return corrected


def pooled_sd(groups: Sequence[Sequence[float]]) -> float:
    """Pooled standard deviation within groups. Groups of one value do not count; nan if no group has two."""
    several = [group for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in several)
    return sqrt(sum((len(group) - 1) * sd(group) ** 2 for group in several) / freedom) if freedom else nan


def detectable(seeds: int, spread: float) -> float:
    """The smallest difference that a paired t test detects with power 0.8, between two groups of `seeds` paired runs
    whose standard deviation is `spread`."""
    df = seeds - 1
    return (t_quantile((1 + LEVEL) / 2, df) + t_quantile(POWER, df)) * spread * sqrt(2 / seeds)


def seeds_needed(difference: float, spread: float) -> int | None:
    """The smallest number of seeds with which a paired t test detects `difference` with power 0.8; None above 1,000."""
    low, high = 2, MOST_SEEDS
    if detectable(high, spread) > abs(difference):
        return None
    while low < high:  # a binary search: `detectable` decreases with the number of seeds
        middle = (low + high) // 2
        low, high = (low, middle) if detectable(middle, spread) <= abs(difference) else (middle + 1, high)
    return low
