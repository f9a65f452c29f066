"""Kendall's tau in which exchanges at the top weigh more: does a score order candidates as their results do?"""

from collections.abc import Sequence
from itertools import combinations
from math import nan, sqrt


def weighted_tau(first: Sequence[float], second: Sequence[float]) -> float:
    """Vigna 2015, arXiv:1404.3325: a pair weighs 1 / rank + 1 / rank, ranks by the first and by the second list in
    turn; 1 for equal orders, -1 for opposite ones; nan below two candidates or where all are equal.
    scipy.stats.weightedtau gives the same."""
    if len(first) != len(second):
        raise ValueError(f"weighted_tau: {len(first)} and {len(second)} values")
    return (_tau(first, second) + _tau(second, first)) / 2


def _tau(ranking: Sequence[float], other: Sequence[float]) -> float:
    """Ranks by `ranking`, largest first, ties by `other`."""
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
