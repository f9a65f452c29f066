"""The search space: the words of a command line that have several values. `0.001..0.1` is an interval, of whole numbers
if both ends are whole; `a,b` and `'res*'` are choices. An interval whose ends differ by a factor of 10 or more is
searched on a logarithmic scale. How the next values are chosen is defined in runner/search.py."""

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
    """The numbers from `low` to `high`, both included; only whole numbers if `whole`."""

    low: float
    high: float
    whole: bool

    @property
    def log(self) -> bool:
        """Whether the interval is searched on a logarithmic scale."""
        return self.low > 0 and self.high / self.low >= BY_RATIO


Choice = tuple[str, ...]


@dataclass(frozen=True)
class Space:
    """`fixed`: the words with one value; `axes`: the interval or the choices of each other word, in the order of the
    command line."""

    fixed: tuple[str, ...]
    axes: Mapping[str, Interval | Choice]

    def words(self, params: Mapping[str, Value]) -> list[str]:
        """The words of the run with these values of the axes."""
        return [*self.fixed, *(f"{key}={params[key]}" for key in self.axes)]

    def corners(self) -> list[list[str]]:
        """The words of a few runs that together contain both ends of every interval and every choice, to be checked
        before the search starts."""
        ends = {key: _ends(axis) for key, axis in self.axes.items()}
        first = {key: values[0] for key, values in ends.items()}
        return [self.words(first), *(self.words(first | {key: v}) for key, values in ends.items() for v in values[1:])]


def _ends(axis: Interval | Choice) -> list[Value]:
    if isinstance(axis, tuple):
        return list(axis)
    return [int(end) if axis.whole else end for end in (axis.low, axis.high)]


def space(words: Sequence[str], search: Sequence[Path] = ()) -> Space:
    """The search space of `words`; `search`: the user's configuration folders. Raises ConfigError for an invalid
    interval, for several values of the seed, and if no word has several values."""
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
            faults.append(Fault(word.key, "the first end must be the smaller one", word.value))
        elif span:
            whole = all(re.fullmatch(r"-?\d+", end) for end in span.groups())
            axes[word.key] = Interval(float(span[1]), float(span[2]), whole)
        elif len(several := values(word, search)) > 1:
            axes[word.key] = tuple(several)
        else:
            fixed += [f"{word.key}={value}" for value in several or [word.value]]
    if "seed" in axes:
        faults.append(Fault("seed", "must have one value; a search does not vary it"))
    if not axes and not faults:
        faults.append(Fault("--search", "nothing to search", do="trainer.lr=0.001..0.1, or strategy=a,b"))
    if faults:
        raise ConfigError(*faults)
    return Space(tuple(fixed), axes)
