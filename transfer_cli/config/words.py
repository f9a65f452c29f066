"""Words of the command line: `key=value`, short forms, synonyms, lists of values, paths. The content of a configuration
is defined in choices.py and check.py."""

import os
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import NamedTuple

from transfer_cli.config.folders import GROUPS, NAME, options
from transfer_cli.config.synonyms import SYNONYMS
from transfer_cli.errors import ConfigError, Fault, nearest

STAGES = ("pretrain", "align", "fine_tune")
CHOICES = ("data", "strategy", "source", "model", "task", *STAGES, "predictor", "trainer", "runtime", "experiment")
VALUES = ("weights", "seed", "stages", "oracle", "plugins", "expect", "evaluate")
LITERAL = ("data", "source", "weights")  # values that may be paths
KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z0-9_-]+)*")
PATHS = (".csv", ".tsv", ".txt", ".md", ".jsonl", ".conll", ".gz", ".npz", ".mat", ".parquet", ".yaml", ".yml")
SPAN = re.compile(r"(-?\d+)\.\.(-?\d+)")
LONGEST = 4096  # the most characters of a word, and the most values of a sweep
HELP = "all: transfer run --help"


class Word(NamedTuple):
    """One `key=value` of the command line."""

    key: str
    value: str

    @property
    def top(self) -> str:
        """The key up to its first dot."""
        return self.key.partition(".")[0]


def parse(text: str) -> Word:
    """Parses `key=value`; Hydra's long forms (`+key`, `method@align`) are converted to the short ones. Raises
    ConfigError."""
    key, equals, value = text.partition("=")
    if not equals or len(text) > LONGEST:
        wrong = f"longer than {LONGEST:,} characters" if equals else "a word is key=value"
        raise ConfigError(Fault(text[:40], wrong, see=HELP))
    key = re.sub(r"^(method|data|predictor)@(evaluate\.)?", "", key.lstrip("+"))
    key = re.sub(r"^predictor\.", "evaluate.predictor.", key)
    if not KEY.fullmatch(key):
        hint = "removing with ~ is not possible; say key=null or NAME=none" if key.startswith("~") else "no such word"
        raise ConfigError(Fault(key, hint, see=HELP))
    if not value:  # an unset $VARIABLE of the shell
        raise ConfigError(Fault(key, "has no value"))
    word = Word(key, value)
    if "" in (parts := split(value)) and not _is_literal(word):
        present = ",".join(filter(None, parts))
        do = f"{key}={present}" if present else None
        raise ConfigError(Fault(key, "a value is missing next to a comma", value, do=do))
    return word


def group_of(key: str) -> str:
    """The group of options from which the word `key` chooses."""
    return {"source": "data", "predictor": "predictor"}.get(key, key if key in GROUPS else "method")


def misplaced(word: Word, known: Sequence[str]) -> Fault | None:
    """A fault with the synonym or the nearest word if the first part of the key is not in `known`; otherwise None."""
    last = word.key.rpartition(".")[2]
    if word.key in (f"{word.top}.method", f"{word.top}.family", "evaluate.predictor.predictor"):
        return Fault(
            word.key, f"the word is {'predictor' if last == 'predictor' else word.top}={word.value}", word.value
        )
    if word.top in known:
        return None
    if (right := SYNONYMS.get(word.key) or SYNONYMS.get(word.top)) is not None:
        corrected = right if "=" in right else f"{right}={word.value}"
        return Fault(word.key, f"the word is {corrected}", word.value)
    return Fault(word.key, "no such word", allowed=tuple(known), nearest=nearest(word.top, known), see=HELP)


def expand(words: Sequence[str], *, multirun: bool, seeds: int | None, search: Sequence[Path] = ()) -> list[list[str]]:
    """One list of single-valued words per run; the last word changes fastest. Raises ConfigError for repeated words,
    for a pattern without matches, and for several values without `multirun` and `seeds`."""
    faults: list[Fault] = []
    several: dict[str, list[str]] = {}
    parsed = [word for word in map(lambda text: _parsed(text, faults), words) if word is not None]
    faults += repeated(parsed)
    if seeds is not None:
        faults += [Fault("--seeds", "seed= is given too; say one of them", str(seeds))] * any(
            w.key == "seed" for w in parsed
        )
        faults += [Fault("--seeds", "whole number >= 1", str(seeds))] * (seeds < 1)
        parsed.append(Word("seed", f"0..{seeds - 1}"))
    for word in parsed:
        word_values = values(word, search)
        if not word_values:
            group = options(group_of(word.key), search)
            faults.append(
                Fault(
                    word.key,
                    "matches no option",
                    word.value,
                    tuple(group),
                    see=f"see transfer list {group_of(word.key)}",
                )
            )
        if len(word_values) > 1 and not multirun and seeds is None:
            faults.append(
                Fault(
                    word.key,
                    f"{len(word_values)} values: add -m",
                    do="quote the value if it is one: key='[a, b]'"
                    if "," in word.value and word.top not in CHOICES
                    else None,
                )
            )
        several[word.key] = [f"{word.key}={value}" for value in word_values]
    if faults:
        raise ConfigError(*faults)
    return [list(run) for run in product(*several.values())]


def _parsed(text: str, faults: list[Fault]) -> Word | None:
    try:
        return parse(text)
    except ConfigError as error:
        faults.extend(error.faults)
        return None


def first_values(words: Sequence[str]) -> list[str]:
    """Each word once, with the first of its values, to search for further faults after a first one."""
    by_key = {word.key: word for word in reversed([w for w in map(lambda text: _parsed(text, []), words) if w])}
    return [f"{word.key}={(values(word) or [word.value])[0]}" for word in reversed(by_key.values())]


def stage_names(value: object) -> list[str]:
    """The stages in the value of `stages` (text of the command line, or a list), without evaluate."""
    names = re.findall(r"\w+", value) if isinstance(value, str) else value if isinstance(value, list) else []
    return [str(name) for name in names if name != "evaluate"]


def repeated(words: Sequence[Word]) -> list[Fault]:
    """A fault for each key that is given more than once (a shell expands `seed={0..4}` to five words)."""
    given: dict[str, list[str]] = {}
    for word in words:
        given.setdefault(word.key, []).append(word.value)
    twice = {key: several for key, several in given.items() if len(several) > 1}
    return [
        Fault(key, f"given {len(several)} times; say {key}={_joined(several)} -m") for key, several in twice.items()
    ]


def _joined(texts: Sequence[str]) -> str:
    numbers = [int(value) for value in texts if re.fullmatch(r"\d{1,9}", value)]
    if len(numbers) == len(texts) > 2 and numbers == list(range(numbers[0], numbers[0] + len(numbers))):
        return f"{numbers[0]}..{numbers[-1]}"
    return ",".join(dict.fromkeys(texts))


def values(word: Word, search: Sequence[Path] = ()) -> list[str]:
    """The values of a word with a list (`a,b`), an interval (`0..4`) or a pattern (`'res*'`); otherwise its one value.
    An existing path is one value."""
    if _is_literal(word):
        parts = split(word.value)
        whole = on_disk(word.value) or not all(map(_names_something, parts))
        return [word.value] if whole else list(dict.fromkeys(parts))
    several: list[str] = []
    for part in split(word.value):
        if span := SPAN.fullmatch(part):
            low, high = int(span[1]), int(span[2])
            several += [str(n) for n in range(low, min(high, low + LONGEST) + 1)] or [part]
        elif "." not in word.key and word.key not in VALUES and re.search(r"[*?]", part):
            several += [name for name in options(group_of(word.key), search) if fnmatchcase(name, part)]
        else:
            several.append(part)
    return list(dict.fromkeys(several))


def _is_literal(word: Word) -> bool:
    return word.key in LITERAL and (on_disk(word.value) or is_path(word.value))


def is_path(value: str) -> bool:
    """Whether a value of data, source or weights is a path: it contains a slash, or has the ending of a data file."""
    return "/" in value or value.startswith(("~", ".")) or Path(value).suffix in PATHS


def _names_something(part: str) -> bool:
    return bool(NAME.fullmatch(part)) or on_disk(part)


def on_disk(value: str) -> bool:
    """Whether a value is an existing path; False also for names that no file can have."""
    return os.path.exists(os.path.expanduser(value))


def split(value: str) -> list[str]:
    """Splits a value at commas outside brackets and quotes.

    >>> split("a,[b,c],'d,e'")
    ['a', '[b,c]', "'d,e'"]"""
    parts, depth, quote = [""], 0, ""
    for char in value:
        if quote or char in "'\"":
            quote = "" if char == quote else quote or char
        else:
            depth += (char in "[{(") - (char in ")}]")
        if char == "," and not quote and depth <= 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts] if len(parts) > 1 else [value]
