"""Names of runs on screens: their words, the words in which they differ or which they share, and their data."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import PurePath
from typing import Any

from transfer_cli.analysis.results import Run

CHOICES = (
    "experiment",
    "strategy",
    "source",
    "data",
    "model",
    "pretrain",
    "align",
    "fine_tune",
    "predictor",
    "trainer",
)
WITHOUT = ("seed", "runtime", "expect", "oracle")  # settings in which runs of one group may differ


def data(run: Run) -> str:
    """The target as titles show it: its name or the last part of its path, its domains and its shift, such as `mnist
    blended`."""
    return _side(run, "data")


def path_of_data(run: Run) -> str:
    """Source and target, `mnist → usps`; the target alone if there is no source or if the source is part of it."""
    source = run.choices.get("source", "none")
    return data(run) if source in ("none", "base") else f"{_side(run, 'source')} → {data(run)}"


def _side(run: Run, word: str) -> str:
    domain, shift, amount = (run.setting(f"{word}.{key}") for key in ("domain", "shift", "shift_amount"))
    parts = [", ".join(map(str, domain)) if isinstance(domain, list) else domain, shift, amount]
    name = PurePath(run.choices.get(word, word)).name or word
    return " ".join(
        [name, *(f"{item:g}" if isinstance(item, float) else str(item) for item in parts if item is not None)]
    )


def evaluation(run: Run) -> str:
    """The key under which the result is stored. Runs with equal keys count as one result."""
    return run.stages[-1].key or run.id if run.stages else run.id


def tested(run: Run) -> str:
    """A short name of the exact rows on which a run was tested. It depends on data, classes, part and split."""
    return rows_named(run.fingerprints.get("test"))


def classes_of(run: Run) -> Sequence[str]:
    """Names of the classes of the rows on which a run was tested; empty if the data have no classes."""
    test = run.fingerprints.get("test")
    classes = test.get("classes") if isinstance(test, Mapping) else None
    return list(map(str, classes)) if isinstance(classes, list) else []


def rows_named(fingerprint: Any) -> str:
    """The short name of the rows that have this fingerprint."""
    return sha256(json.dumps(fingerprint, sort_keys=True, default=str).encode()).hexdigest()[:8]


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted keys of a configuration with their values as text, except those in which runs of one group may differ."""
    settings: dict[str, str] = {}
    for key, item in config.items():
        name = f"{prefix}{key}"
        if name in WITHOUT:
            continue
        if isinstance(item, Mapping):
            settings |= flat(item, f"{name}.")
        else:
            settings[name] = item if isinstance(item, str) else _as_text(item)
    return settings


def _as_text(item: Any) -> str:
    """A value as JSON text. Most values are plain ones, for which json.dumps would be slow."""
    if item is None:
        return "null"
    return str(item) if type(item) is int else json.dumps(item, sort_keys=True, default=str)


def identity(config: Mapping[str, Any]) -> str:
    """The settings as one string, which is equal for runs that differ only in the seed."""
    settings = {key: item for key, item in config.items() if key not in WITHOUT}
    return json.dumps(settings, sort_keys=True, default=str)


def facts(run: Run) -> dict[str, str]:
    """Every word and dotted key in which runs can differ, with its value."""
    chosen = {word: run.choices.get(word) or "none" for word in CHOICES}
    return flat(run.config) | chosen | {"rule": run.rule}


def value(run: Run, word: str) -> str:
    """The value of a word or dotted key in a run; empty if it has none."""
    return facts(run).get(word, "")


def differing(runs: Sequence[Run]) -> list[str]:
    """Words in which `runs` differ: first all words that a user typed, because any of them may be the cause; then
    further words until the words distinguish all runs that differ. `rule` counts as a word."""
    facts_of_runs = [facts(run) for run in runs]
    typed = {word.split("=", 1)[0] for run in runs for word in run.words}
    keys = sorted({key for of_run in facts_of_runs for key in of_run} - {*CHOICES, "rule"})
    words = (*CHOICES, *keys, "rule")
    varied = [word for word in words if len({of_run.get(word, "") for of_run in facts_of_runs}) > 1]
    named = [word for word in varied if _typed(word, typed)]
    for word in varied:
        if len(_parts(facts_of_runs, [*named, word])) > len(_parts(facts_of_runs, named)):
            named.append(word)
    return sorted(named, key=varied.index)


def _typed(word: str, typed: set[str]) -> bool:
    return word in typed or any(word.startswith(f"{key}.") for key in typed if key not in CHOICES)


def _parts(facts_of_runs: Sequence[Mapping[str, str]], words: Iterable[str]) -> set[tuple[str, ...]]:
    words = list(words)
    return {tuple(of_run.get(word, "") for word in words) for of_run in facts_of_runs}


def shared(runs: Sequence[Run], differing: Sequence[str]) -> list[str]:
    """Parts of a title: what all runs have in common and `differing` does not name."""
    paths = list(dict.fromkeys(path_of_data(run) for run in runs))
    parts = paths if len(paths) == 1 and not {"source", "data"} & set(differing) else []
    for word in ("strategy", "model"):
        values = {run.choices[word] for run in runs if word in run.choices}
        if word not in differing and len(values) == 1:
            parts = [*parts, *values]
    return parts


def command(runs: Sequence[Run], differing: Sequence[str]) -> str:
    """`transfer run ...` that computes `runs` again: one sweep if they differ in one word, else the words of the first
    run."""
    words = [_words(run) for run in runs]
    if len(differing) == 1:
        start = f"{differing[0]}="
        rest = [[word for word in few if not word.startswith(start)] for few in words]
        if all(sorted(few) == sorted(rest[0]) for few in rest):
            values = ",".join(dict.fromkeys(value(run, differing[0]) for run in runs))
            return shlex.join(["transfer", "run", start + values, *rest[0]])
    return shlex.join(["transfer", "run", *words[0]])


def _words(run: Run) -> list[str]:
    return [word for word in run.words if not word.startswith("seed=")]
