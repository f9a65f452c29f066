"""Queries that select runs, in the words of `run`: `data=usps strategy=dann,coral seed=0..4 accuracy=0.9..`. `a,b`
means any of them; `a..b` is a range, whose ends may be left out; `*` and `?` are wildcards. No part of a query is
executed as code."""

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
OWN = ("run", "state", "rule", "cost", "sweep", "note")  # words of queries that `transfer run` does not have
NONE = ("none", "null")


def select(runs: Sequence[Run], words: Sequence[str], without: Sequence[str] = ()) -> list[Run]:
    """Runs that match all of `words` and none of `without`. Raises ConfigError for a word that no run has, and if no
    run is left; the error then says how many runs each word matches alone."""
    required, excluded = [_split(word) for word in words], [_split(word) for word in without]
    _check([key for key, _ in (*required, *excluded)], runs)
    matches = [run for run in runs if all(fits(run, *word) for word in required)]
    matches = [run for run in matches if not any(fits(run, *word) for word in excluded)]
    if runs and not matches:
        alone = [f"{word} {sum(fits(run, *_split(word)) for run in runs):,}" for word in (*words, *without)]
        text = f"no run fits all of this; of {len(runs):,} runs each alone finds: {', '.join(alone)}"
        raise ConfigError(Fault(" ".join([*words, *(f"--not {word}" for word in without)]), text, do="transfer list"))
    return matches


def fits(run: Run, key: str, allowed: str) -> bool:
    """Whether the value of `key` in a run is one of `allowed`, the right side of a word of a query."""
    value = fact(run, key)
    return any(_is(value, part) for part in (allowed, *allowed.split(",")))


def fact(run: Run, key: str) -> Any:
    """The value that a run has for a key of a query; None if it has none. A key is a word, a dotted key, a metric
    (under the rule of the headline), or one of `run state rule cost sweep note`."""
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
    """Raises ConfigError for keys that no run has. Without this check, a misspelt key would select no run silently."""
    unknown = [key for key in dict.fromkeys(keys) if all(fact(run, key) is None for run in runs)] if runs else []
    known = sorted({key for run in runs for key in _keys(run)}) if unknown else []
    faults = [Fault(key, "no run has such a word", nearest=nearest(key, known)) for key in unknown if key not in known]
    if faults:
        raise ConfigError(*faults)


def _keys(run: Run) -> set[str]:
    return {*OWN, "experiment", *run.choices, *run.names(), *_dotted(run.config)}


def _dotted(config: Mapping[str, Any], prefix: str = "") -> set[str]:
    keys: set[str] = set()
    for key, value in config.items():
        keys |= _dotted(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}"}
    return keys


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
    """Whether a number equals `part`, or lies in the range `part`, which has at least one end."""
    if re.fullmatch(NUMBER, part):
        return value == float(part)
    span = SPAN.fullmatch(part)
    if span is None or part == "..":
        return fnmatchcase(str(value), part)
    low, high = (float(end) if end else None for end in span.groups())
    return (-inf if low is None else low) <= value <= (inf if high is None else high)
