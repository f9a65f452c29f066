"""What finished runs reached from the candidates of a ranking, by strategy, and whether the scores foresaw it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import nan
from typing import Any

from transfer_cli.analysis import run_labels
from transfer_cli.analysis.groups import Group, grouped
from transfer_cli.analysis.rank_agreement import weighted_tau
from transfer_cli.analysis.results import Run
from transfer_cli.analysis.statistics import mean
from transfer_cli.measures import Measure

LEAST = 3  # candidates below which an order says nothing


@dataclass(frozen=True)
class Start:
    """Where a candidate's runs begin: the stage (key, rule) that gives their net, or "" and the model node of an
    untaught one."""

    key: str
    rule: str
    model: Mapping[str, Any]

    def begins(self, run: Run) -> bool:
        pretrain = next((stage for stage in run.stages if stage.name == "pretrain" and stage.key), None)
        if pretrain is not None:
            return (pretrain.key, pretrain.rule) == (self.key, self.rule)
        return not self.key and run.setting("model") == dict(self.model)


@dataclass(frozen=True)
class Reached:
    """`values`: candidate -> mean of the headline metric over seeds; `metric` by its bare name."""

    strategy: str
    metric: str
    measure: Measure
    values: Mapping[str, float]

    def tau(self, scores: Mapping[str, float | None]) -> float:
        """Between a score (larger is better) and what was reached; nan below LEAST candidates that have both."""
        both = [name for name in self.values if scores.get(name) is not None]
        if len(both) < LEAST:
            return nan
        sign = self.measure.sign
        return weighted_tau([scores[name] or 0.0 for name in both], [-sign * self.values[name] for name in both])


def reached(runs: Iterable[Run], starts: Mapping[str, Start], tested: str, data: Mapping[str, Any]) -> list[Reached]:
    """By strategy, from done runs that were tested on the rows `tested` names and learned from the same `data` node. Of
    runs with other settings the newest count; training from scratch is fine-tuning an untaught net."""
    done = [run for run in runs if run.is_done and run.headline is not None]
    done = [run for run in done if run_labels.tested(run) == tested and run.setting("data") == dict(data)]
    found: dict[tuple[str, str], dict[str, float]] = {}
    measures: dict[str, Measure] = {}
    for name, start in starts.items():
        for group in grouped([run for run in done if start.begins(run)]):
            if group.counted and (head := group.run.headline) is not None:
                metric = head.metric.name
                measures[metric] = head.metric.measure
                found.setdefault((_strategy(group), metric), {})[name] = mean(group.values(metric))
    return [Reached(strategy, metric, measures[metric], values) for (strategy, metric), values in sorted(found.items())]


def _strategy(group: Group) -> str:
    name = group.run.choices.get("strategy", "")
    return "fine_tune" if name == "scratch" else name
