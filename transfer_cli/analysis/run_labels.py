"""What runs are called on a screen: their words, where they differ, what they share, their data."""

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
WITHOUT = ("seed", "runtime", "expect", "oracle")  # decide no result: equal groups may differ in them


def data(run: Run) -> str:
    """The target as a title has it: a name, the last part of a path; its domains and its shift: `mnist blended`."""
    return _side(run, "data")


def path_of_data(run: Run) -> str:
    """`mnist → usps`; the target alone where the source is part of it or there is none."""
    source = run.choices.get("source", "none")
    return data(run) if source in ("none", "base") else f"{_side(run, 'source')} → {data(run)}"


def _side(run: Run, word: str) -> str:
    domain, shift, amount = (run.setting(f"{word}.{key}") for key in ("domain", "shift", "shift_amount"))
    said = [", ".join(map(str, domain)) if isinstance(domain, list) else domain, shift, amount]
    name = PurePath(run.choices.get(word, word)).name or word
    return " ".join(
        [name, *(f"{item:g}" if isinstance(item, float) else str(item) for item in said if item is not None)]
    )


def evaluation(run: Run) -> str:
    """What the result is stored under: equal in two runs that are one result."""
    return run.stages[-1].key or run.id if run.stages else run.id


def tested(run: Run) -> str:
    """A short name of the very rows a run was tested on: data, classes, part and cut."""
    return rows_named(run.fingerprints.get("test"))


def classes_of(run: Run) -> Sequence[str]:
    """Names of the classes of the rows that a run was tested on; none where they have none."""
    test = run.fingerprints.get("test")
    classes = test.get("classes") if isinstance(test, Mapping) else None
    return list(map(str, classes)) if isinstance(classes, list) else []


def rows_named(fingerprint: Any) -> str:
    """The short name of the rows that have this fingerprint."""
    return sha256(json.dumps(fingerprint, sort_keys=True, default=str).encode()).hexdigest()[:8]


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted keys of a configuration with their values as text, without what decides no result."""
    found: dict[str, str] = {}
    for key, item in config.items():
        name = f"{prefix}{key}"
        if name in WITHOUT:
            continue
        if isinstance(item, Mapping):
            found |= flat(item, f"{name}.")
        else:
            found[name] = item if isinstance(item, str) else _as_text(item)
    return found


def _as_text(item: Any) -> str:
    """As JSON has it; most are plain values, for which json.dumps is slow."""
    if item is None:
        return "null"
    return str(item) if type(item) is int else json.dumps(item, sort_keys=True, default=str)


def identity(config: Mapping[str, Any]) -> str:
    """The settings as one string: equal in runs that differ in the seed alone."""
    kept = {key: item for key, item in config.items() if key not in WITHOUT}
    return json.dumps(kept, sort_keys=True, default=str)


def facts(run: Run) -> dict[str, str]:
    """Every word and dotted key that may tell a run from another, with its value."""
    chosen = {word: run.choices.get(word) or "none" for word in CHOICES}
    return flat(run.config) | chosen | {"rule": run.rule}


def value(run: Run, word: str) -> str:
    """The value of a word or dotted key in a run; empty where it has none."""
    return facts(run).get(word, "")


def differing(runs: Sequence[Run]) -> list[str]:
    """Words that tell `runs` apart: those typed by somebody that differ, all of them, for none is "the cause";
    then as many more as it takes until no difference is left unnamed. `rule` counts as a word."""
    known = [facts(run) for run in runs]
    typed = {word.split("=", 1)[0] for run in runs for word in run.words}
    keys = sorted({key for found in known for key in found} - {*CHOICES, "rule"})
    varied = [word for word in (*CHOICES, *keys, "rule") if len({found.get(word, "") for found in known}) > 1]
    named = [word for word in varied if _typed(word, typed)]
    for word in varied:
        if len(_parts(known, [*named, word])) > len(_parts(known, named)):
            named.append(word)
    return sorted(named, key=varied.index)


def _typed(word: str, typed: set[str]) -> bool:
    return word in typed or any(word.startswith(f"{key}.") for key in typed if key not in CHOICES)


def _parts(known: Sequence[Mapping[str, str]], words: Iterable[str]) -> set[tuple[str, ...]]:
    words = list(words)
    return {tuple(found.get(word, "") for word in words) for found in known}


def shared(runs: Sequence[Run], differing: Sequence[str]) -> list[str]:
    """For a title: what all runs have in common and `differing` does not name."""
    paths = list(dict.fromkeys(path_of_data(run) for run in runs))
    parts = paths if len(paths) == 1 and not {"source", "data"} & set(differing) else []
    for word in ("strategy", "model"):
        known = {run.choices[word] for run in runs if word in run.choices}
        if word not in differing and len(known) == 1:
            parts = [*parts, *known]
    return parts


def command(runs: Sequence[Run], differing: Sequence[str]) -> str:
    """`transfer run ...` for all of `runs`: one sweep if a single word differs, else the first run's words."""
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
