"""Queries in the words of `run`: `data=usps strategy=dann,coral seed=0..4 accuracy=0.9..`. `a,b`: any of them; `a..b`:
a range, ends may be open; `*` and `?` stand for letters. Nothing is evaluated."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from math import inf
from pathlib import PurePath
from typing import Any

from transfer_cli.analysis.results import Run
from transfer_cli.errors import ConfigError, Fault, nearest

NUMBER = r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?"
SPAN = re.compile(rf"({NUMBER})?\.\.({NUMBER})?")
OWN = ("run", "state", "rule", "cost", "sweep", "note")  # words that no `run` takes
NONE = ("none", "null")


def select(runs: Sequence[Run], words: Sequence[str], without: Sequence[str] = ()) -> list[Run]:
    """Runs that fit all of `words` and none of `without`. Raises ConfigError for a word that no run has, and where
    nothing is left: it says how many runs each word alone finds."""
    asked, refused = [_split(word) for word in words], [_split(word) for word in without]
    _check([key for key, _ in (*asked, *refused)], runs)
    found = [run for run in runs if all(fits(run, *word) for word in asked)]
    found = [run for run in found if not any(fits(run, *word) for word in refused)]
    if runs and not found:
        alone = [f"{word} {sum(fits(run, *_split(word)) for run in runs):,}" for word in (*words, *without)]
        text = f"no run fits all of this; of {len(runs):,} runs each alone finds: {', '.join(alone)}"
        raise ConfigError(Fault(" ".join([*words, *(f"--not {word}" for word in without)]), text, do="transfer list"))
    return found


def fits(run: Run, key: str, wanted: str) -> bool:
    """Whether a run has one of the values of `wanted`."""
    value = fact(run, key)
    return any(_is(value, part) for part in (wanted, *wanted.split(",")))


def fact(run: Run, key: str) -> Any:
    """What a run has under a word, dotted key, metric of its headline's rule, or one of `run state rule cost sweep
    note`; None where it has nothing."""
    own: dict[str, Any] = {"run": run.id, "state": run.status, "sweep": run.sweep or None, "note": run.note or None}
    own |= {"rule": run.rule or None, "cost": run.cost.get("seconds")}
    if key in own:
        return own[key]
    if key in run.choices:
        return run.choices[key]
    if (score := run.value(key)) is not None:
        return score
    value = run.setting(key)
    return None if isinstance(value, Mapping) else value


def _split(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not (key and equals and value):
        raise ConfigError(Fault(word, "a query is written in the words of run: strategy=coral"))
    return key, value


def _check(keys: Sequence[str], runs: Sequence[Run]) -> None:
    """A misspelt word must not read as a query that finds nothing."""
    strange = [key for key in dict.fromkeys(keys) if all(fact(run, key) is None for run in runs)] if runs else []
    known = sorted({key for run in runs for key in _keys(run)}) if strange else []
    faults = [Fault(key, "no run has such a word", nearest=nearest(key, known)) for key in strange if key not in known]
    if faults:
        raise ConfigError(*faults)


def _keys(run: Run) -> set[str]:
    return {*OWN, "experiment", *run.choices, *run.names(), *_dotted(run.config)}


def _dotted(config: Mapping[str, Any], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in config.items():
        found |= _dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}"}
    return found


def _is(value: Any, part: str) -> bool:
    if value is None:
        return part in NONE
    if isinstance(value, bool):
        return part.lower() == str(value).lower()
    if isinstance(value, int | float):
        return _counts(value, part)
    text = str(value)
    return part in (text, PurePath(text).name) or fnmatchcase(text, part)


def _counts(value: float, part: str) -> bool:
    """A number, or a range with at least one end."""
    if re.fullmatch(NUMBER, part):
        return value == float(part)
    span = SPAN.fullmatch(part)
    if span is None or part == "..":
        return fnmatchcase(str(value), part)
    low, high = (float(end) if end else None for end in span.groups())
    return (-inf if low is None else low) <= value <= (inf if high is None else high)
