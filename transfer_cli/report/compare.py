"""Runs side by side: groups of equal settings, the words in which they differ, mean and interval over seeds.

Reads results.json documents only. Every result counts once: the same evaluation found under two runs, or under two
seeds that change nothing, is one. Runs tested on different rows never share a table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.report import names
from transfer_cli.report.statistics import Interval, mean, measured, sd, t_interval
from transfer_cli.report.tables import Column, Table

Run = dict[str, Any]
BESIDE = ("f1", "nll")  # stand on the screen beside the headline; machines get every metric


@dataclass
class Group:
    """Runs that differ in the seed alone. `counted`: one run a result; `failed`, `left_out`: not done."""

    run: Run
    counted: list[Run] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)  # with a result; more than `counted` if the seed changes nothing
    failed: list[Run] = field(default_factory=list)
    left_out: list[Run] = field(default_factory=list)
    doubtful: list[int] = field(default_factory=list)  # seeds with two results: code or data changed between

    @property
    def rule(self) -> str:
        """Of the headline; empty without a result."""
        return str(self.counted[0]["headline"]["rule"]) if self.counted else ""

    def values(self, metric: str) -> list[float]:
        found = [run["metrics"][run["headline"]["rule"]].get(metric) for run in self.counted]
        return [value for value in found if value is not None]


def compare(runs: Sequence[Run]) -> Table:
    """The table of all `runs`, best group first. Raises ConfigError if they were tested on different rows
    or measured by different headlines."""
    done = [run for run in runs if run["status"] == "done"]
    _same_test(done)
    metric = _metric(done)
    groups = grouped(runs)
    words = names.differing([group.run for group in groups]) or ["strategy"]
    single = all(len(group.counted) < 2 for group in groups)
    groups.sort(key=lambda group: names.sign(metric) * mean(group.values(metric) or [inf * names.sign(metric)]))
    return Table(
        _columns(words, metric, groups, single),
        [_row(group, words, metric, single) for group in groups],
        title=_title(groups, words, metric, single),
        notes=_notes(groups, words, single),
        next=_next(groups, words, single),
        schema="compare/1",
    )


def grouped(runs: Sequence[Run]) -> list[Group]:
    """Groups in order of their first run. Of several runs with one seed the newest done one counts."""
    groups: dict[str, Group] = {}
    for run in sorted(runs, key=lambda run: run["started"]):
        group = groups.setdefault(names.identity(run["config"]), Group(run))
        {"done": group.counted, "failed": group.failed}.get(run["status"], group.left_out).append(run)
    for group in groups.values():
        _count_once(group)
    return list(groups.values())


def _count_once(group: Group) -> None:
    by_seed: dict[int, Run] = {}
    for run in group.counted:
        seed = run["config"]["seed"]
        if seed in by_seed and names.evaluation(by_seed[seed]) != names.evaluation(run):
            group.doubtful.append(seed)
        by_seed[seed] = run
    group.seeds = sorted(by_seed)
    by_result = {names.evaluation(run): run for _, run in sorted(by_seed.items(), reverse=True)}
    group.counted = sorted(by_result.values(), key=lambda run: run["config"]["seed"])
    failed = {run["config"]["seed"]: run for run in group.failed}
    group.failed = [run for seed, run in failed.items() if seed not in by_seed]


def _same_test(runs: Sequence[Run]) -> None:
    tested: dict[str, list[Run]] = {}
    for run in runs:
        tested.setdefault(names.tested(run), []).append(run)
    if len(tested) < 2:
        return
    parts = [f"{', '.join(run['id'] for run in few)} on {names.data(few[0])} {key}" for key, few in tested.items()]
    do = f"transfer compare {' '.join(run['id'] for run in max(tested.values(), key=len))}"
    raise ConfigError(Fault("compare", "not tested on the same rows: " + "; ".join(parts), do=do))


def _metric(runs: Sequence[Run]) -> str:
    """The headline's metric, the same for all."""
    found = {str(run["headline"]["name"]): run["id"] for run in runs}
    if len(found) > 1:
        parts = "; ".join(f"{names.metric(name)} of {run}" for name, run in found.items())
        raise ConfigError(Fault("compare", f"the headlines are different metrics: {parts}"))
    return next(iter(found), "test/accuracy")


def _columns(words: Sequence[str], metric: str, groups: Sequence[Group], single: bool) -> list[Column]:
    found = {name for group in groups for run in group.counted for name in run["metrics"][run["headline"]["rule"]]}
    others = sorted(name for name in found - {metric} if names.overall(name))
    return [
        *([Column("run")] if single else []),
        *(Column(word) for word in words),
        *([Column("rule")] if len(_rules(groups)) > 1 and "rule" not in words else []),
        Column("of", head="n", align="right", only="screen"),
        Column("n", "n", only="machine"),
        Column("n_failed", "n", only="machine"),
        Column(
            "mean",
            "%" if names.is_share(metric) else "",
            names.heading(metric),
            interval=True,
            ends=("lo", "hi"),
            align="right",
        ),
        Column("sd", only="machine"),
        *(_other(name) for name in others),
        Column("cost", "s"),
        Column("seeds", only="json"),
    ]


def _other(name: str) -> Column:
    short = names.metric(name)
    return Column(
        short,
        "%" if names.is_share(name) else "",
        names.heading(name),
        align="right",
        interval=True,
        only=None if short in BESIDE else "machine",
    )


def _row(group: Group, words: Sequence[str], metric: str, single: bool) -> dict[str, Any]:
    values, done, failed = group.values(metric), len(group.counted), len(group.failed)
    found = sorted({name for run in group.counted for name in run["metrics"][run["headline"]["rule"]]} - {metric})
    return {
        **{word: names.value(group.run, word) for word in words},
        "rule": group.rule,
        "run": group.counted[0]["id"] if group.counted else group.run["id"],
        "of": f"{done}/{done + failed}" if failed else str(done),
        "n": done,
        "n_failed": failed,
        "mean": _interval(group.counted, values, single),
        "sd": sd(values),
        **{names.metric(name): t_interval(group.values(name)) for name in found if names.overall(name)},
        "cost": mean([run["cost"]["seconds"] for run in group.counted]),
        "seeds": [_seed(run, metric) for run in group.counted],
    }


def _interval(runs: Sequence[Run], values: list[float], single: bool) -> Interval | None:
    """Over seeds; where every group has one seed, over what its headline's interval is over."""
    head = runs[0]["headline"] if runs and single else {}
    if head.get("ci95") is not None:
        return measured(values[0], head["ci95"], head)
    return t_interval(values) if values else None


def _seed(run: Run, metric: str) -> dict[str, Any]:
    value = run["metrics"][run["headline"]["rule"]].get(metric)
    return {"seed": run["config"]["seed"], "run": run["id"], "value": value, "cost_s": run["cost"]["seconds"]}


def _title(groups: Sequence[Group], words: Sequence[str], metric: str, single: bool) -> str:
    done = [run for group in groups for run in group.counted]
    if not done:
        return "no run of these is done"
    over = sorted({str(run["headline"].get("over", "")) for run in done})
    rules = _rules(groups)
    return ", ".join([
        *names.shared(done[0], words),
        f"test {names.heading(metric)}",
        f"rule{'s' * (len(rules) > 1)} {' and '.join(rules)}",
        f"one seed each, ± 95 % over {' and '.join(over)}" if single else "± 95 % over seeds",
    ])  # fmt: skip


def _rules(groups: Sequence[Group]) -> list[str]:
    return sorted({group.rule for group in groups if group.counted})


def _notes(groups: Sequence[Group], words: Sequence[str], single: bool) -> list[str]:
    notes = []
    for group in groups:
        label = ", ".join(str(names.value(group.run, word)) for word in words)
        seeds = ", ".join(str(run["config"]["seed"]) for run in group.failed)
        if group.failed:
            notes.append(
                f"{label}: seed {seeds} failed" + (", the mean of survivors flatters" if group.counted else "")
            )
        if len(group.seeds) > len(group.counted):
            seeds = ", ".join(map(str, group.seeds))
            notes.append(f"{label}: seeds {seeds} gave the same result, which counts once")
        elif len(group.counted) == 1 and not single:
            notes.append(f"{label}: one seed, so nothing is known about other seeds")
        if group.left_out:
            notes.append(f"{label}: left out, not done: {', '.join(run['id'] for run in group.left_out)}")
        if group.doubtful:
            notes.append(f"{label}: code or data changed between runs of seed {group.doubtful[0]}; the newest counts")
    if single and any(group.counted for group in groups):
        return [*notes, "one seed each: other seeds may give another order"]
    return notes + _source_note(groups)


def _source_note(groups: Sequence[Group]) -> list[str]:
    nodes = [group.run["config"].get("pretrain") or {} for group in groups]
    seeds = {node.get("seed") for node in nodes if node.get("method") not in (None, "none", "given")}
    if not any(len(group.counted) > 1 for group in groups):
        return []
    fixed = len(seeds) == 1 and isinstance(next(iter(seeds)), int)
    return [f"one source model for all seeds (pretrain.seed={seeds.pop()})"] if fixed else []


def _next(groups: Sequence[Group], words: Sequence[str], single: bool) -> str:
    """More seeds where there is one, else a look at the best run."""
    done = [group.run for group in groups if group.counted]
    if not done:
        return ""
    return names.command(done, words) + " --seeds 5" if single else f"transfer show {groups[0].counted[0]['id']}"
