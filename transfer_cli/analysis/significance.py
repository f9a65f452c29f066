"""Is a difference real? Tests of two groups, the correction for many of them, and how many seeds a test would need.
Plain Python, checked against scipy in the tests. Every p is two-sided."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, lgamma, log, nan, sqrt
from typing import Literal

from transfer_cli.analysis.statistics import LEVEL, Interval, mean, sd, t_quantile, t_tail

ALPHA = 1 - LEVEL
POWER = 0.8  # the chance that a difference of the size named is found
FLIPS = range(8, 17)  # pairs: below 8 no p is small enough, above 16 the t test needs no help
MOST_SEEDS = 1000
How = Literal["paired", "Welch"]


@dataclass(frozen=True)
class Difference:
    """A group less its baseline. `effect`: the difference in standard deviations (Cohen's d of the pairs, Hedges' g
    without pairs); `p` is nan where nothing can be tested; `n`: pairs, or values of the smaller group."""

    delta: Interval
    p: float
    effect: float
    how: How
    n: int
    p_flip: float = nan


ROUNDING = 1e-9  # of the difference: less spread than this is made by sums of floats


def paired(differences: Sequence[float], grain: float = 0.0, overlap: float = 0.0) -> Difference:
    """Paired t test of at least two differences. `grain`: the step in which a score moves (1 / test rows): their
    spread is never taken for less than rounding to it explains, or equal pairs would prove anything. `overlap`: of
    folds, which share what they learn from: rows validated on a row learned from (Nadeau & Bengio 2003, Machine
    Learning 52)."""
    n, centre = len(differences), mean(differences)
    spread = max(sd(differences), grain / sqrt(6))
    flip = sign_flip(differences) if n in FLIPS else nan
    return Difference(
        *_t_test(centre, spread * sqrt(1 / n + overlap), n - 1), _ratio(centre, spread), "paired", n, flip
    )


def welch(these: Sequence[float], those: Sequence[float], grain: float = 0.0) -> Difference:
    """Welch's t test of two groups of at least two values, unequal variances. Welch 1947; effect: Hedges 1981."""
    n, m = len(these), len(those)
    v, w = (max(sd(values) ** 2, grain**2 / 12) for values in (these, those))
    centre, error = mean(these) - mean(those), v / n + w / m
    df = error**2 / ((v / n) ** 2 / (n - 1) + (w / m) ** 2 / (m - 1)) if error else float(min(n, m) - 1)
    pooled = sqrt(((n - 1) * v + (m - 1) * w) / (n + m - 2))
    unbiased = 1 - 3 / (4 * (n + m - 2) - 1)
    return Difference(*_t_test(centre, sqrt(error), df), unbiased * _ratio(centre, pooled), "Welch", min(n, m))


def _t_test(centre: float, error: float, df: float) -> tuple[Interval, float]:
    """Interval and p of a difference with this standard error."""
    if error <= ROUNDING * abs(centre):  # no spread but that of floats: equal, or nothing to judge by
        return (Interval(centre, nan, nan), nan) if centre else (Interval(0.0, 0.0, 0.0), 1.0)
    half = t_quantile((1 + LEVEL) / 2, df) * error
    return Interval(centre, centre - half, centre + half), 2 * t_tail(abs(centre) / error, df)


def _ratio(centre: float, spread: float) -> float:
    return centre / spread if spread else nan


def sign_flip(differences: Sequence[float]) -> float:
    """Exact sign-flip test: the share of all 2^n choices of signs whose sum is as far from 0 as the one seen.
    Fisher 1935; assumes nothing but symmetry. Raises ValueError above 20 differences."""
    if len(differences) > 20:
        raise ValueError(f"sign_flip: {len(differences)} differences, at most 20")
    sums = [0.0]
    for each in differences:
        sums = [total + sign for total in sums for sign in (each, -each)]
    seen = abs(sums[0]) * (1 - 1e-12)
    return sum(abs(total) >= seen for total in sums) / len(sums)


def discordant(wins: int, losses: int) -> float:
    """McNemar's exact test: p of so many wins among the pictures that only one of two nets got right."""
    n, fewer = wins + losses, min(wins, losses)
    logs = [lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) - n * log(2) for k in range(fewer + 1)]
    return min(1.0, 2 * sum(map(exp, logs)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected so that the chance of any false alarm among all of them stays below alpha. Holm 1979.
    nan (not tested) stays nan and does not count."""
    order = sorted((p, at) for at, p in enumerate(p_values) if p == p)
    found, worst = [nan] * len(p_values), 0.0
    for rank, (p, at) in enumerate(order):
        worst = max(worst, min(1.0, (len(order) - rank) * p))
        found[at] = worst
    return found


def pooled_sd(groups: Sequence[Sequence[float]]) -> float:
    """Standard deviation within groups of at least two values; nan without one."""
    several = [group for group in groups if len(group) > 1]
    freedom = sum(len(group) - 1 for group in several)
    return sqrt(sum((len(group) - 1) * sd(group) ** 2 for group in several) / freedom) if freedom else nan


def detectable(seeds: int, spread: float) -> float:
    """The difference between two groups of `seeds` paired runs, each of standard deviation `spread`, that a paired
    t test finds in 80 of 100 cases."""
    df = seeds - 1
    return (t_quantile((1 + LEVEL) / 2, df) + t_quantile(POWER, df)) * spread * sqrt(2 / seeds)


def seeds_needed(difference: float, spread: float) -> int | None:
    """The fewest seeds with which `difference` would be found in 80 of 100 cases; None above 1,000."""
    low, high = 2, MOST_SEEDS
    if detectable(high, spread) > abs(difference):
        return None
    while low < high:  # detectable falls as seeds are added
        middle = (low + high) // 2
        low, high = (low, middle) if detectable(middle, spread) <= abs(difference) else (middle + 1, high)
    return low
