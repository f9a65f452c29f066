"""Contestants take turns (A B A B ...) within one run, so that whatever else the machine does meets each of them.
The minimum is what to read on a busy machine; times of different runs are not to be compared. No torch."""

import time
from collections.abc import Callable, Mapping

Seconds = dict[str, list[float]]
Contestants = Mapping[str, Callable[[], object]]


def turns(contestants: Contestants, rounds: int, warm: int = 1) -> Seconds:
    """Seconds of each round of each contestant; the first `warm` rounds are not counted."""
    taken: Seconds = {name: [] for name in contestants}
    for number in range(warm + rounds):
        for name, work in contestants.items():
            start = time.perf_counter()
            work()
            if number >= warm:
                taken[name].append(time.perf_counter() - start)
    return taken


def turns_within(contestants: Contestants, seconds: float, least: int = 3, most: int = 30) -> Seconds:
    """As many counted rounds as fit into about `seconds`, after one to warm up and one to see how long they take."""
    seen = turns(contestants, 1)
    a_round = sum(each[0] for each in seen.values())
    return turns(contestants, max(least, min(most, int(seconds / a_round))), warm=0)
