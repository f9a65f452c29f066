"""Means and their uncertainty: t intervals over seeds or draws, Wilson intervals over test rows, bootstrap intervals.
Plain Python, so that `compare` starts quickly; checked against scipy in the tests."""

from collections.abc import Sequence
from functools import lru_cache
from math import exp, fsum, lgamma, log, log1p, nan, pi, sqrt, tan
from random import Random
from statistics import NormalDist
from typing import NamedTuple

LEVEL = 0.95


class Interval(NamedTuple):
    """A value and the ends of its confidence interval, in the value's own unit."""

    value: float
    lo: float
    hi: float

    @property
    def half(self) -> float:
        """Half the width, the number behind ±."""
        return (self.hi - self.lo) / 2


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean; nan for an empty sequence."""
    return fsum(values) / len(values) if values else nan


def sd(values: Sequence[float]) -> float:
    """Sample standard deviation (n - 1); nan for fewer than two values."""
    if len(values) < 2:
        return nan
    centre = mean(values)
    return sqrt(fsum((value - centre) ** 2 for value in values) / (len(values) - 1))


def t_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Mean and Student t interval. One value has no interval: its ends are nan."""
    centre, n = mean(values), len(values)
    if n < 2:
        return Interval(centre, nan, nan)
    half = t_quantile((1 + level) / 2, n - 1) * sd(values) / sqrt(n)
    return Interval(centre, centre - half, centre + half)


def bootstrap(values: Sequence[float], level: float = LEVEL, draws: int = 2000) -> Interval:
    """Mean and percentile bootstrap interval; the draws are the same at every call. With few values it is too narrow:
    use the t interval for fewer than ten. Efron 1979. One value has no interval: its ends are nan."""
    n = len(values)
    if n < 2:
        return Interval(mean(values), nan, nan)
    draw = Random(n).choices
    means = sorted(fsum(draw(values, k=n)) / n for _ in range(draws))
    cut = round((1 - level) / 2 * draws)
    return Interval(mean(values), means[cut], means[-1 - cut])


def wilson(share: float, n: int, level: float = LEVEL) -> Interval:
    """Score interval of a share of `n` rows. It stays inside [0, 1] and has a positive width at 0 and 1.
    Wilson 1927, eq. 4 of Brown, Cai & DasGupta 2001. Raises ValueError if n < 1 or the share is outside [0, 1]."""
    if n < 1 or not 0 <= share <= 1:
        raise ValueError(f"share={share} of n={n}: want n >= 1 and a share in 0..1")
    z2 = NormalDist().inv_cdf((1 + level) / 2) ** 2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = sqrt(z2 * (share * (1 - share) + z2 / (4 * n)) / n) / (1 + z2 / n)
    return Interval(share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)))


def inside(interval: Interval) -> Interval:
    """The interval of a share, with its ends limited to [0, 1], because a t interval may exceed them. nan stays nan."""
    return Interval(interval.value, max(interval.lo, 0.0), min(interval.hi, 1.0))


@lru_cache(maxsize=4096)
def t_quantile(p: float, df: float) -> float:
    """The `p` quantile of Student's t distribution with `df` > 0 degrees of freedom. Closed forms for df 1 and 2, else
    Newton's method with bisection as a safeguard. Raises ValueError unless 0 < p < 1."""
    if not 0 < p < 1:
        raise ValueError(f"p={p}: want 0 < p < 1")
    if p < 0.5:
        return -t_quantile(1 - p, df)
    if df == 1:
        return tan(pi * (p - 0.5))
    if df == 2:
        return (2 * p - 1) * sqrt(2 / (4 * p * (1 - p)))
    return _invert(p, df)


def _invert(p: float, df: float) -> float:
    low, high = 0.0, 1.0
    while t_tail(high, df) > 1 - p:
        low, high = high, 2 * high
    t = (low + high) / 2
    for _ in range(100):
        excess = (1 - p) - t_tail(t, df)  # the distribution function at t, minus p
        low, high = (low, t) if excess > 0 else (t, high)
        step = t - excess / _density(t, df)
        new = step if low < step < high else (low + high) / 2
        if abs(new - t) <= 1e-15 * t:
            return new
        t = new
    return t


def _density(t: float, df: float) -> float:
    scale = _log_half_step(df / 2) - log(df * pi) / 2
    return exp(scale - (df + 1) / 2 * log1p(t * t / df))


def _log_half_step(a: float) -> float:
    """log(gamma(a + 1/2) / gamma(a)). The difference of two large lgammas would keep only 9 digits at a = 5e5."""
    if a < 50:
        return lgamma(a + 0.5) - lgamma(a)
    return log(a) / 2 - 1 / (8 * a) + 1 / (192 * a**3) - 1 / (640 * a**5)


def t_tail(t: float, df: float) -> float:
    """P(T > t) of a Student t variable, t >= 0: half the regularised incomplete beta function at df / (df + t²)."""
    x, y = df / (df + t * t), t * t / (df + t * t)
    a, b = df / 2, 0.5
    if x < (a + 1) / (a + b + 2):
        return _beta(x, y, a, b) / 2
    return 0.5 - _beta(y, x, b, a) / 2


def _beta(x: float, y: float, a: float, b: float) -> float:
    """I_x(a, b) with y = 1 - x and one of a, b = 1/2, by Lentz's continued fraction (Numerical Recipes, 6.4)."""
    if x == 0:
        return 0.0
    front = exp(a * log(x) + b * log(y) - log(a) + _log_half_step(max(a, b)) - log(pi) / 2)
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1))
    total = d
    for m in range(1, 10_000):
        for term in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d, c = 1 / (1 + term * d), 1 + term / c
            total *= d * c
        if abs(d * c - 1) < 1e-16:
            break
    return front * total
