"""Groups of runs: runs of one group have equal settings except for the seed, or are equal in the words of --by. Reads
summaries only.

Every result counts once: two runs with the same stored evaluation, for example because the seed has no effect, count as
one result."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from transfer_cli.analysis import run_labels
from transfer_cli.analysis.results import Run
from transfer_cli.errors import ConfigError, Fault, nearest

Unit = tuple[str, ...]  # identifies a run inside its group: the seed, and with --by the words in which its runs differ
FEW = 3  # runs named in an error


@dataclass(eq=False)
class Group:
    """`run`: the first run, whose words name the group. `by_unit`: one run for each seed; several of them may share one
    result. `counted`: one run for each result. `failed`, `left_out`: runs that are not done. `doubtful`: seeds that
    have two different results, because code or data changed. `rule_asked`: the rule of --rule, or empty."""

    run: Run
    rule_asked: str = ""
    by_unit: dict[Unit, Run] = field(default_factory=dict)
    counted: list[Run] = field(default_factory=list)
    failed: list[Run] = field(default_factory=list)
    left_out: list[Run] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)

    @property
    def rule(self) -> str:
        """The rule by which the snapshots of its results were selected; empty without a result."""
        return (self.rule_asked or self.counted[0].rule) if self.counted else ""

    @property
    def fixed(self) -> bool:
        """Whether several seeds gave the same result, so that the seed has no effect."""
        return len(self.counted) == 1 and len(self.by_unit) > 1

    @cached_property
    def facts(self) -> dict[str, str]:
        """Its words and settings."""
        return run_labels.facts(self.run) | {"rule": self.rule}

    def score(self, run: Run, metric: str) -> float | None:
        """The value of a metric in one of its runs, under the group's rule."""
        return run.value(metric, self.rule_asked)

    def values(self, metric: str) -> list[float]:
        """One value for each result, in order of the seeds."""
        scores = (self.score(run, metric) for run in self.counted)
        return [value for value in scores if value is not None]

    def cost(self, name: str) -> list[float]:
        """One entry of the cost of each result that has it, for example `seconds`."""
        return [run.cost[name] for run in self.counted if name in run.cost]

    def label(self, words: Sequence[str]) -> str:
        """The name of the group in notes: its values of `words`; `none` if its runs have none of them."""
        return ", ".join(self.facts[word] for word in words if self.facts.get(word)) or "none"

    def query(self, words: Sequence[str]) -> str:
        """The words that choose the group on a command line; a word that its runs do not have is left out, because no
        query can name it."""
        return " ".join(f"{word}={self.facts[word]}" for word in words if self.facts.get(word))


def grouped(runs: Sequence[Run], rule: str = "", by: Sequence[str] = ()) -> list[Group]:
    """Groups in order of their first run. If several runs have the same seed, the newest one that is done counts."""
    pooled = [word for word in run_labels.differing(runs) if word not in by] if by else []
    groups: dict[Any, Group] = {}
    done: dict[Any, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.started):
        key = _key(run, by)
        group = groups.setdefault(key, Group(run, rule))
        by_status = {"done": done.setdefault(key, []), "failed": group.failed}
        by_status.get(run.status, group.left_out).append(run)
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
    """Lists of done runs that were tested on the same rows. A run that is not done joins the first list with the same
    data; without such a list it is left out."""
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
    """Raises ConfigError if done runs were tested on different rows, because these must not share a table."""
    parts = by_test(runs)
    if len(parts) < 2:
        return
    tested_on = [f"{_named(few)} on {run_labels.data(few[0])} {run_labels.tested(few[0])}" for few in parts]
    most = max(parts, key=len)
    raise ConfigError(Fault("compare", "not tested on the same rows: " + "; ".join(tested_on), do=_command(most, runs)))


def _named(runs: Sequence[Run]) -> str:
    ids = ", ".join(run.id for run in runs[:FEW])
    return ids + (f" and {len(runs) - FEW:,} more" if len(runs) > FEW else "")


def _command(runs: Sequence[Run], all_runs: Sequence[Run]) -> str:
    """The command that compares `runs` alone: selected by the name of their data if that is enough, else by ids."""
    data = runs[0].choices.get("data")
    if len(runs) > FEW and sum(run.choices.get("data") == data for run in all_runs) == len(runs):
        return f"transfer compare data={data}"
    return f"transfer compare {' '.join(run.id for run in runs)}"


def same_judge(runs: Sequence[Run], metric: str) -> None:
    """Raises ConfigError if the metric was computed with the help of a judge net, and not with the same one in all
    runs."""
    by_judge: dict[str, list[Run]] = {}
    for run in runs:
        by_judge.setdefault(run.judge, []).append(run)
    if len(by_judge) > 1:
        by_judges = [f"{_named(few)} by {judge[:8] or 'none'}" for judge, few in by_judge.items()]
        most = max(by_judge.values(), key=len)
        text = f"{metric} was not judged by the same net: {'; '.join(by_judges)}"
        raise ConfigError(Fault("compare", text, do=_command(most, runs)))


def metric_of(runs: Sequence[Run], metric: str, rule: str) -> str:
    """The requested metric by its bare name, else the headline metric, which must be the same in all runs; empty
    without a headline. Raises ConfigError if the headlines differ, or if no run has the requested metric or rule."""
    rules = sorted({name for run in runs for name in run.rules})
    if rule and runs and rule not in rules:
        raise ConfigError(Fault("--rule", f"none of these runs has it; they have {', '.join(rules)}", rule))
    if metric:
        _check_metric(runs, metric, rule)
        return metric
    headlines = {(run.part, run.headline.metric.name): run.id for run in runs if run.headline is not None}
    if len(headlines) > 1:
        parts = "; ".join(f"{name} of {run}" for (_, name), run in headlines.items())
        raise ConfigError(Fault("compare", f"the headlines are different metrics: {parts}", do="add --metric NAME"))
    return next((name for _, name in headlines), "")


def _check_metric(runs: Sequence[Run], metric: str, rule: str) -> None:
    allowed = tuple(sorted({name for run in runs for name in run.names(rule)}))
    if runs and metric not in allowed:
        raise ConfigError(Fault("--metric", "none of these runs has it", metric, allowed, nearest(metric, allowed)))
