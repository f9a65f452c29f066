"""The differences between two runs: settings, results, cost, code, versions. Reads the JSON files of their
directories."""

from collections.abc import Iterator, Mapping
from typing import Any

from transfer_cli.analysis import run_labels
from transfer_cli.analysis.results import Run
from transfer_cli.analysis.run_files import Environment, code_of, environment_of
from transfer_cli.report.labels import unit_of
from transfer_cli.report.tables import Column, Table, Unit, shown

COST: dict[str, Unit] = {"seconds": "s", "trained": "short", "peak_bytes": "B", "bytes": "B", "labels": "n"}
SAID = ("method", "family", "predictor", "rule")  # keys that repeat a choice
KINDS = ("setting", "result", "cost", "code", "version")
Pair = tuple[str, str, Any, Any, Unit]  # kind, name, value of the first run, value of the second run, unit


def difference(one: Run, other: Run, *, everything: bool = False) -> Table:
    """A table with one row for each difference. `everything`: includes the metrics of single classes."""
    differences = [pair for pair in _pairs(one, other) if pair[2] != pair[3]]
    shown_pairs = [pair for pair in differences if everything or pair[0] != "result" or "/" not in pair[1]]
    same = [kind for kind in KINDS if not any(pair[0] == kind for pair in differences)]
    a, b = one.id, other.id
    rows = [
        {"what": kind, "name": name, a: shown(first, unit), b: shown(second, unit), "one": first, "other": second}
        for kind, name, first, second, unit in shown_pairs
    ]
    notes = [f"equal: {', '.join(same)}"] if same else []
    notes += (
        [f"{len(differences) - len(shown_pairs)} more results of single classes: -v"]
        if len(differences) > len(shown_pairs)
        else []
    )
    notes += [f"{run.id}: {run.note}" for run in (one, other) if run.note]
    columns = [
        Column("what"),
        Column("name"),
        *(Column(name, only="screen", align="right") for name in (a, b)),
        *(Column(name, only="machine") for name in ("one", "other")),
    ]
    title = f"{a} and {b}: what differs" if shown_pairs else f"{a} and {b}: nothing differs"
    extra = {"one_run": a, "other_run": b}
    return Table(columns, rows, title, notes, f"transfer compare {a} {b}", "differ/1", extra)


def _pairs(one: Run, other: Run) -> Iterator[Pair]:
    yield from _both("setting", _settings(one), _settings(other))
    yield from _both("result", {"state": one.status}, {"state": other.status})
    for name, first, second in _named(_scores(one), _scores(other)):
        yield "result", name, first, second, unit_of((one if first is not None else other).measure(name))
    for name, unit in COST.items():
        yield "cost", name, one.cost.get(name), other.cost.get(name), unit
    yield from _both("code", code_of(one), code_of(other))
    yield from _both("version", _versions(one), _versions(other))


def _both(kind: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[Pair]:
    for name, first, second in _named(one, other):
        yield kind, name, first, second, ""


def _named(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys([*one, *other]):
        yield name, one.get(name), other.get(name)


def _settings(run: Run) -> dict[str, str]:
    """Settings by name: choices first, then the seed and dotted keys. Keys that repeat a choice are left out."""
    facts = run_labels.facts(run)
    chosen = {word: facts.pop(word) for word in run_labels.CHOICES}
    facts = {key: value for key, value in facts.items() if key.rpartition(".")[2] not in SAID}
    return {**chosen, "seed": str(run.config.get("seed", "")), **facts}


def _scores(run: Run) -> dict[str, float]:
    """Values of metrics by name; the headline metric is first."""
    first = run.headline.metric.name if run.headline is not None else ""
    return {
        name: metric.value for name, metric in sorted(run.scores().items(), key=lambda one: (one[0] != first, one[0]))
    }


def _versions(run: Run) -> dict[str, Any]:
    env = environment_of(run) or Environment()
    environment = {"commit": env.commit, "platform": env.platform, **env.variables}
    return {**run.versions, **run.identity, **environment}
