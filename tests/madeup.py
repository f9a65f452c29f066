"""Summaries of runs that nobody ran, for tests of what is made of them."""

import json
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from transfer_cli.analysis import comparison, groups
from transfer_cli.analysis.results import Run
from transfer_cli.report import compare_table
from transfer_cli.report.tables import Table

METHODS = {
    "scratch": ("none", "full"),
    "none": ("supervised", "none"),
    "coral": ("supervised", "none"),
    "fine_tune": ("supervised", "full"),
    "linear_probe": ("supervised", "linear_probe"),
}
TOP = ("status", "fingerprints", "stages", "headline", "started", "cost")
OVER = {"ci95": 0.013, "n": 2007, "over": "test pictures"}
STAGE = {"name": "evaluate", "what": "usps test 2,007", "state": "done", "cached": False, "seconds": 3.0, "bytes": 9}
SERIAL = iter(range(10_000))


def run(strategy: str = "fine_tune", seed: int = 0, accuracy: float = 0.9, **changed: Any) -> dict[str, Any]:
    """A results.json as a run leaves it. `changed`: dotted settings typed by the user, entries of the top level,
    or `recall` by class."""
    pretrain, fine_tune = METHODS[strategy]
    top = {
        key: changed.pop(key)
        for key in ("status", "fingerprints", "stages", "headline", "started", "cost")
        if key in changed
    }
    recalls = {f"test/recall/{name}": value for name, value in changed.pop("recall", {}).items()}
    settings = {key.replace("__", "."): value for key, value in changed.items()}
    number = next(SERIAL)
    config = {
        "seed": seed,
        "runtime": {"threads": number},
        "strategy": strategy,
        "weights": "none",
        "pretrain": {"method": pretrain, "seed": 0},
        "fine_tune": {"method": fine_tune, **({"head_lr": 0.1} if fine_tune == "full" else {"l2": 1.0})},
        "data": {"family": "usps", "shots": 10},
        "trainer": {"steps": 100},
    }
    for key, value in settings.items():
        group, name = key.split(".")
        config[group][name] = value
    choices = {"strategy": strategy, "source": "mnist", "data": "usps", "model": "lenet", "pretrain": pretrain}
    words = [f"strategy={strategy}", "source=mnist", "data=usps", f"seed={seed}"]
    scores = {"test/accuracy": accuracy, "test/nll": 1 - accuracy, **recalls}
    return {
        "id": f"k{number:05}",
        "status": "done",
        "started": f"2026-11-22T10:{number // 60 % 60:02}:{number % 60:02}Z",
        "words": words + [f"{key}={value}" for key, value in settings.items()],
        "choices": {**choices, "fine_tune": fine_tune, "align": "coral" if strategy == "coral" else "none"},
        "config": config,
        "stages": [{**STAGE, "key": f"{strategy}{seed}{settings}{accuracy}"}],
        "metrics": {"final": scores | {"test/accuracy_ci95": 0.013, "test/f1/cat": 0.5, "step": 100}},
        "headline": {"name": "test/accuracy", "rule": "final", "value": accuracy, **OVER},
        "cost": {"seconds": 60.0 + seed, "labels": 0 if strategy in ("none", "coral") else 100},
        "fingerprints": {"target": "1f3a", "test": {"data": "1f3a", "classes": ["0", "1"]}},
        **top,
    }


def seeds(strategy: str, *accuracies: float, **changed: Any) -> list[dict[str, Any]]:
    return [run(strategy, seed, accuracy, **deepcopy(changed)) for seed, accuracy in enumerate(accuracies)]


def place(runs: Path, *few: dict[str, Any]) -> None:
    """Puts runs into a runs folder, in order of their start."""
    for one in few:
        name = f"{one['choices']['strategy']}-{one['choices']['data']}/20261122T101502Z-{one['id']}"
        (runs / name).mkdir(parents=True)
        (runs / name / "results.json").write_text(json.dumps({"code": 0, **one}))
        with (runs / ".order").open("a") as order:
            order.write(f"{name}\n")


def typed(runs: Iterable[dict[str, Any]]) -> list[Run]:
    """The runs as analysis and report see them."""
    return [Run.of(one) for one in runs]


def study(runs: Sequence[dict[str, Any]], ask: comparison.Ask | None = None) -> comparison.Comparison:
    return comparison.study(typed(runs), ask)


def grouped(runs: Sequence[dict[str, Any]], rule: str = "", by: Sequence[str] = ()) -> list[groups.Group]:
    return groups.grouped(typed(runs), rule, by)


def compare(
    runs: Sequence[dict[str, Any]],
    ask: comparison.Ask | None = None,
    history: Callable[[], Iterable[dict[str, Any]]] = list,
) -> Table:
    return compare_table.compare(typed(runs), ask, lambda: typed(history()))
