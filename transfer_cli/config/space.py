"""What a search varies: the words of a command line that stand for several values. `0.001..0.1` is an interval, whole
numbers where both ends are; `a,b` and `'res*'` are choices. Intervals whose ends are a factor of 10 or more apart are
searched by ratio. Knows nothing of how the next values are chosen."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer_cli.config.words import Word, parse, repeated, values
from transfer_cli.errors import ConfigError, Fault

NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
SPAN = re.compile(rf"({NUMBER})\.\.({NUMBER})")
BY_RATIO = 10.0

Value = float | int | str


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, both included."""

    low: float
    high: float
    whole: bool

    @property
    def log(self) -> bool:
        return self.low > 0 and self.high / self.low >= BY_RATIO


Choice = tuple[str, ...]


@dataclass(frozen=True)
class Space:
    """`fixed`: words with one value; `axes`: what each other word may be, in order of the command line."""

    fixed: tuple[str, ...]
    axes: Mapping[str, Interval | Choice]

    def words(self, params: Mapping[str, Value]) -> list[str]:
        """The words of one run."""
        return [*self.fixed, *(f"{key}={params[key]}" for key in self.axes)]

    def corners(self) -> list[list[str]]:
        """Words of runs in which every end and every choice occurs: what can be checked before the first run."""
        ends = {key: _ends(axis) for key, axis in self.axes.items()}
        first = {key: found[0] for key, found in ends.items()}
        return [self.words(first), *(self.words(first | {key: v}) for key, found in ends.items() for v in found[1:])]


def _ends(axis: Interval | Choice) -> list[Value]:
    if isinstance(axis, tuple):
        return list(axis)
    return [int(end) if axis.whole else end for end in (axis.low, axis.high)]


def space(words: Sequence[str], search: Sequence[Path] = ()) -> Space:
    """The space that `words` span; `search` are user folders with options. Raises ConfigError."""
    faults, parsed = list[Fault](), list[Word]()
    for text in words:
        try:
            parsed.append(parse(text))
        except ConfigError as error:
            faults += error.faults
    faults += repeated(parsed)
    fixed, axes = list[str](), dict[str, Interval | Choice]()
    for word in parsed:
        span = SPAN.fullmatch(word.value)
        if span and float(span[1]) >= float(span[2]):
            faults.append(Fault(word.key, "the first end is the smaller one", word.value))
        elif span:
            whole = all(re.fullmatch(r"-?\d+", end) for end in span.groups())
            axes[word.key] = Interval(float(span[1]), float(span[2]), whole)
        elif len(found := values(word, search)) > 1:
            axes[word.key] = tuple(found)
        else:
            fixed += [f"{word.key}={value}" for value in found or [word.value]]
    if "seed" in axes:
        faults.append(Fault("seed", "is nothing to choose; a search keeps it"))
    if not axes and not faults:
        faults.append(Fault("--search", "nothing to search", do="trainer.lr=0.001..0.1, or strategy=a,b"))
    if faults:
        raise ConfigError(*faults)
    return Space(tuple(fixed), axes)
