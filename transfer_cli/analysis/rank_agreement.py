"""Weighted Kendall's tau: whether a score orders candidates as their results do. Pairs near the top weigh more."""

from collections.abc import Sequence
from itertools import combinations
from math import nan, sqrt


def weighted_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Weighted Kendall's tau, in [-1, 1]: 1 for equal orders, -1 for opposite orders. Vigna 2015, arXiv:1404.3325. The
    weight of a pair is the sum of both 1 / rank; the result is the mean of two values, with ranks by the first and by
    the second list. It is nan for fewer than two candidates and if all values of a list are equal, and agrees with
    scipy.stats.weightedtau. Raises ValueError if the lengths differ."""
    if len(first) != len(second):
        raise ValueError(f"weighted_tau: {len(first)} and {len(second)} values")
    return (_tau(first, second) + _tau(second, first)) / 2


def _tau(ranking: Sequence[float], other: Sequence[float]) -> float:
    """Tau with ranks by `ranking`, largest first; `other` breaks ties."""
    places = range(len(ranking))
    order = sorted(places, key=lambda at: (ranking[at], other[at]), reverse=True)
    weight = {at: 1 / (rank + 1) for rank, at in enumerate(order)}
    both = one = two = 0.0
    for i, j in combinations(places, 2):
        a, b, pair = _sign(ranking[i] - ranking[j]), _sign(other[i] - other[j]), weight[i] + weight[j]
        both, one, two = both + a * b * pair, one + a * a * pair, two + b * b * pair
    return both / sqrt(one * two) if one * two else nan


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
