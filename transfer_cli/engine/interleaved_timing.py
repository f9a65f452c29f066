"""Interleaves benchmarks (A B A B ...), so that machine noise affects all of them equally. On a busy machine, use the
minimum; do not compare times of different processes. No torch."""

import time
from collections.abc import Callable, Mapping

Seconds = dict[str, list[float]]
Contestants = Mapping[str, Callable[[], object]]


def turns(contestants: Contestants, rounds: int, warm: int = 1) -> Seconds:
    """The seconds that each contestant takes in each round; the first `warm` rounds are not counted."""
    durations: Seconds = {name: [] for name in contestants}
    for number in range(warm + rounds):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            if number >= warm:
                durations[name].append(time.perf_counter() - start)
    return durations


def turns_within(contestants: Contestants, seconds: float, least: int = 3, most: int = 30) -> Seconds:
    """As `turns`, with as many rounds as fit into about `seconds`, between `least` and `most`. Runs one round before
    to warm up and one to estimate the duration of a round."""
    trial = turns(contestants, 1)
    round_seconds = sum(each[0] for each in trial.values())
    return turns(contestants, max(least, min(most, int(seconds / round_seconds))), warm=0)
