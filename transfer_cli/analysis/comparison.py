"""A comparison as a value: the groups of the runs, the words in which the groups differ, and a verdict for each group.

groups.py forms the groups; verdicts.py tests them."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isnan
from typing import Literal

from transfer_cli.analysis import run_labels, stored_scores
from transfer_cli.analysis.groups import Group, grouped, metric_of, same_judge, same_test
from transfer_cli.analysis.metric import legacy_measure
from transfer_cli.analysis.results import Run
from transfer_cli.analysis.statistics import Interval, bootstrap, mean, t_interval
from transfer_cli.analysis.verdicts import Verdict, judge
from transfer_cli.errors import ConfigError, Fault, nearest
from transfer_cli.measures import Measure


@dataclass(frozen=True)
class Ask:
    """What to compare. `metric`: its bare name; `by`: the words that define the groups; `baseline`: a query that
    selects the baseline; `interval`: the kind of confidence interval."""

    metric: str = ""
    rule: str = ""
    by: tuple[str, ...] = ()
    baseline: tuple[str, ...] = ()
    interval: Literal["t", "bootstrap"] = "t"


@dataclass(frozen=True)
class Comparison:
    """Groups, best first, each with its verdict. `metric`: the bare name of the metric; `measure`: its unit and
    direction. `words`: the words in which the groups differ. `single`: no group has two results. `ruled_out`: done runs
    that lack the requested metric or rule. `unreadable`: runs whose results cannot be read."""

    groups: list[Group]
    verdicts: list[Verdict]
    words: list[str]
    metric: str
    measure: Measure
    single: bool
    ask: Ask
    ruled_out: list[Run]
    unreadable: list[Run]

    @property
    def done(self) -> list[Group]:
        """The groups that have a result."""
        return [group for group in self.groups if group.counted]

    @property
    def rules(self) -> list[str]:
        """The rules by which the results were selected."""
        return sorted({group.rule for group in self.done})

    @property
    def watched(self) -> list[str]:
        """Names of the metrics that the runs report at each validation."""
        return list(dict.fromkeys(name for group in self.done for name in group.counted[0].watched))

    def measure_of(self, name: str) -> Measure:
        """The measure of any metric of the runs, by its bare name."""
        return self.done[0].counted[0].measure(name) if self.done else legacy_measure(name)

    def spread(self, values: Sequence[float]) -> Interval:
        """Mean and 95 % confidence interval over seeds."""
        return bootstrap(values) if self.ask.interval == "bootstrap" else t_interval(values)

    def interval(self, group: Group) -> Interval | None:
        """Mean and confidence interval over the results of a group; None without a result. Where every group has one
        result, it is the interval that this run reports, for example over test rows."""
        values = group.values(self.metric)
        if not values:
            return None
        one = group.counted[0].metric(self.metric, self.ask.rule) if self.single else None
        return self.spread(values) if one is None or isnan(one.lo) else Interval(one.value, one.lo, one.hi)


def study(runs: Sequence[Run], ask: Ask | None = None) -> Comparison:
    """Groups and verdicts of `runs`, best group first. Raises ConfigError if the runs were tested on different rows or
    have different headline metrics, if none has the requested metric, or if no group matches the baseline."""
    ask = ask or Ask()
    unreadable, runs = [run for run in runs if not run.is_readable], [run for run in runs if run.is_readable]
    done = [run for run in runs if run.is_done]
    same_test(done)
    metric = metric_of(done, ask.metric, ask.rule)
    _check_words(ask.by, done)
    without = {run.id for run in done if run.value(metric, ask.rule) is None}
    counted = [run for run in done if run.id not in without]
    same_judge(counted, metric)
    measure = counted[0].measure(metric) if counted else legacy_measure(metric or "accuracy")
    groups = grouped([run for run in runs if run.id not in without], ask.rule, ask.by)
    words = list(ask.by) or run_labels.differing([group.run for group in groups]) or ["strategy"]
    if ask.rule and "rule" in words:
        words.remove("rule")
    verdicts = judge(groups, words, metric, measure, ask.baseline, stored_scores.by_row)
    sign = measure.sign
    order = sorted(range(len(groups)), key=lambda at: sign * mean(groups[at].values(metric) or [inf * sign]))
    single = all(len(group.counted) < 2 for group in groups)
    ruled_out = [run for run in done if run.id in without]
    ordered, judged = [groups[i] for i in order], [verdicts[i] for i in order]
    return Comparison(ordered, judged, words, metric, measure, single, ask, ruled_out, unreadable)


def _check_words(by: Sequence[str], runs: Sequence[Run]) -> None:
    """Raises ConfigError for a word of --by that no run has."""
    known = list(dict.fromkeys(word for run in runs for word in run_labels.facts(run)))
    faults = [
        Fault("--by", "no run has this word", word, nearest=nearest(word, known)) for word in by if word not in known
    ]
    if faults:
        raise ConfigError(*faults)


def pareto(comparison: Comparison) -> list[bool]:
    """Whether each group is on the Pareto front of metric and cost (seconds): no other group is as good at a lower
    cost, or better at the same cost."""
    sign, groups = comparison.measure.sign, comparison.groups
    marks, best = [False] * len(groups), inf
    points = [(mean(g.cost("seconds")), sign * mean(g.values(comparison.metric)), at) for at, g in enumerate(groups)]
    cheaper: float | None = None
    for cost, value, at in sorted(point for point in points if point[0] == point[0] and point[1] == point[1]):
        marks[at] = value < best or (value == best and cost == cheaper)
        if value < best:
            best, cheaper = value, cost
    return marks
