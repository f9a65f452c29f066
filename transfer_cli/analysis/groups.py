"""Runs that are one group: equal settings but for the seed, or equal in the words asked for. Reads summaries only.

Every result counts once: the same evaluation found under two runs, or under two seeds that change nothing, is one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from transfer_cli.analysis import run_labels
from transfer_cli.analysis.results import Run
from transfer_cli.errors import ConfigError, Fault, nearest

Unit = tuple[str, ...]  # the seed, and with --by whatever else tells the runs of a group apart
FEW = 3  # runs named in an error


@dataclass(eq=False)
class Group:
    """`run`: the first, whose words name the group; `by_unit`: a run a seed, several may hold one result; `counted`:
    one run a result; `failed`, `left_out`: not done; `doubtful`: seeds with two results (code or data changed)."""

    run: Run
    rule_asked: str = ""
    by_unit: dict[Unit, Run] = field(default_factory=dict)
    counted: list[Run] = field(default_factory=list)
    failed: list[Run] = field(default_factory=list)
    left_out: list[Run] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)

    @property
    def rule(self) -> str:
        """By which its results were selected; empty without a result."""
        return (self.rule_asked or self.counted[0].rule) if self.counted else ""

    @property
    def fixed(self) -> bool:
        """Whether its seeds were seen to change nothing."""
        return len(self.counted) == 1 and len(self.by_unit) > 1

    @cached_property
    def facts(self) -> dict[str, str]:
        """Its words and settings."""
        return run_labels.facts(self.run) | {"rule": self.rule}

    def score(self, run: Run, metric: str) -> float | None:
        """A metric of one of its runs by the group's rule."""
        return run.value(metric, self.rule_asked)

    def values(self, metric: str) -> list[float]:
        """One value a result, in order of the seeds."""
        found = (self.score(run, metric) for run in self.counted)
        return [value for value in found if value is not None]

    def cost(self, name: str) -> list[float]:
        """An entry of the cost of each result."""
        return [run.cost[name] for run in self.counted if name in run.cost]

    def label(self, words: Sequence[str]) -> str:
        """How notes call it."""
        return ", ".join(self.facts.get(word, "") for word in words)


def grouped(runs: Sequence[Run], rule: str = "", by: Sequence[str] = ()) -> list[Group]:
    """Groups in order of their first run. Of several runs with one seed the newest done one counts."""
    pooled = [word for word in run_labels.differing(runs) if word not in by] if by else []
    groups: dict[Any, Group] = {}
    done: dict[Any, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.started):
        key = _key(run, by)
        group = groups.setdefault(key, Group(run, rule))
        kept = {"done": done.setdefault(key, []), "failed": group.failed}
        kept.get(run.status, group.left_out).append(run)
    for key, group in groups.items():
        _count_once(group, done[key], pooled)
    return list(groups.values())


def _key(run: Run, by: Sequence[str]) -> Any:
    if not by:
        return run_labels.identity(run.config)
    facts = run_labels.facts(run)
    return tuple(facts.get(word, "") for word in by)


def _count_once(group: Group, done: Sequence[Run], pooled: Sequence[str]) -> None:
    for run in done:
        unit = _unit(run, pooled)
        before = group.by_unit.get(unit)
        if before is not None and run_labels.evaluation(before) != run_labels.evaluation(run):
            group.doubtful.append(unit[0])
        group.by_unit[unit] = run
    group.by_unit = dict(sorted(group.by_unit.items(), key=lambda item: (int(item[0][0]), item[0])))
    by_result: dict[str, Run] = {}
    for run in group.by_unit.values():
        by_result.setdefault(run_labels.evaluation(run), run)
    group.counted = list(by_result.values())
    failed = {_unit(run, pooled): run for run in group.failed}
    group.failed = [run for unit, run in failed.items() if unit not in group.by_unit]


def _unit(run: Run, pooled: Sequence[str]) -> Unit:
    facts = run_labels.facts(run) if pooled else {}
    return (str(run.seed), *(facts.get(word, "") for word in pooled))


def by_test(runs: Sequence[Run]) -> list[list[Run]]:
    """Done runs by the rows they were tested on; one that is not done is with the first of the same data."""
    tested: dict[str, list[Run]] = {}
    for run in runs:
        if run.is_done:
            tested.setdefault(run_labels.tested(run), []).append(run)
    parts = list(tested.values())
    named = {run_labels.data(part[0]): part for part in reversed(parts)}
    for run in runs:
        if not run.is_done:
            named.get(run_labels.data(run), []).append(run)
    return parts


def same_test(runs: Sequence[Run]) -> None:
    """Raises ConfigError if done runs were tested on different rows: they never share a table."""
    parts = by_test(runs)
    if len(parts) < 2:
        return
    told = [f"{_named(few)} on {run_labels.data(few[0])} {run_labels.tested(few[0])}" for few in parts]
    most = max(parts, key=len)
    raise ConfigError(Fault("compare", "not tested on the same rows: " + "; ".join(told), do=_command(most, runs)))


def _named(runs: Sequence[Run]) -> str:
    ids = ", ".join(run.id for run in runs[:FEW])
    return ids + (f" and {len(runs) - FEW:,} more" if len(runs) > FEW else "")


def _command(runs: Sequence[Run], all_runs: Sequence[Run]) -> str:
    """A comparison of the largest part: by the name of its data where that is enough, else by ids."""
    data = runs[0].choices.get("data")
    if len(runs) > FEW and sum(run.choices.get("data") == data for run in all_runs) == len(runs):
        return f"transfer compare data={data}"
    return f"transfer compare {' '.join(run.id for run in runs)}"


def same_judge(runs: Sequence[Run], metric: str) -> None:
    """Raises ConfigError if a net judged the metric of some runs, and not the same net that of all."""
    by_judge: dict[str, list[Run]] = {}
    for run in runs:
        by_judge.setdefault(run.judge, []).append(run)
    if len(by_judge) > 1:
        told = [f"{_named(few)} by {judge[:8] or 'none'}" for judge, few in by_judge.items()]
        most = max(by_judge.values(), key=len)
        text = f"{metric} was not judged by the same net: {'; '.join(told)}"
        raise ConfigError(Fault("compare", text, do=_command(most, runs)))


def metric_of(runs: Sequence[Run], metric: str, rule: str) -> str:
    """The metric asked for by its bare name, else the headlines', which must be the same; empty without a headline.
    Raises ConfigError, also if no run has a snapshot of the rule asked for."""
    rules = sorted({name for run in runs for name in run.rules})
    if rule and runs and rule not in rules:
        raise ConfigError(Fault("--rule", f"none of these runs has it; they have {', '.join(rules)}", rule))
    if metric:
        _check_metric(runs, metric, rule)
        return metric
    found = {(run.part, run.headline.metric.name): run.id for run in runs if run.headline is not None}
    if len(found) > 1:
        parts = "; ".join(f"{name} of {run}" for (_, name), run in found.items())
        raise ConfigError(Fault("compare", f"the headlines are different metrics: {parts}", do="add --metric NAME"))
    return next((name for _, name in found), "")


def _check_metric(runs: Sequence[Run], metric: str, rule: str) -> None:
    allowed = tuple(sorted({name for run in runs for name in run.names(rule)}))
    if runs and metric not in allowed:
        raise ConfigError(Fault("--metric", "none of these runs has it", metric, allowed, nearest(metric, allowed)))
