"""Results of finished runs that started from the candidates of a ranking, by strategy, and how well the scores
predicted these results."""

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

LEAST = 3  # the order of fewer candidates says nothing


@dataclass(frozen=True)
class Start:
    """The start of a candidate's runs: the key and rule of the stage that gives their net. For an untrained net the key
    is "" and `model`, the node of the configuration, decides."""

    key: str
    rule: str
    model: Mapping[str, Any]

    def begins(self, run: Run) -> bool:
        """Whether a run started here."""
        pretrain = next((stage for stage in run.stages if stage.name == "pretrain" and stage.key), None)
        if pretrain is not None:
            return (pretrain.key, pretrain.rule) == (self.key, self.rule)
        return not self.key and run.setting("model") == dict(self.model)


@dataclass(frozen=True)
class Reached:
    """Results of one strategy. `metric`: the bare name of the headline metric; `values`: its mean over seeds for each
    candidate."""

    strategy: str
    metric: str
    measure: Measure
    values: Mapping[str, float]

    def tau(self, scores: Mapping[str, float | None]) -> float:
        """Rank agreement between a score (larger is better) and the results; nan if fewer than LEAST candidates have
        both."""
        both = [name for name in self.values if scores.get(name) is not None]
        if len(both) < LEAST:
            return nan
        sign = self.measure.sign
        return weighted_tau([scores[name] or 0.0 for name in both], [-sign * self.values[name] for name in both])


def reached(runs: Iterable[Run], starts: Mapping[str, Start], tested: str, data: Mapping[str, Any]) -> list[Reached]:
    """Results by strategy, from done runs that were tested on the rows with the short name `tested` and have the same
    `data` node. If a candidate has groups with different settings, the newest group counts. The strategy scratch counts
    as fine_tune of an untrained net."""
    done = [run for run in runs if run.is_done and run.headline is not None]
    done = [run for run in done if run_labels.tested(run) == tested and run.setting("data") == dict(data)]
    means: dict[tuple[str, str], dict[str, float]] = {}
    measures: dict[str, Measure] = {}
    for name, start in starts.items():
        for group in grouped([run for run in done if start.begins(run)]):
            if group.counted and (head := group.run.headline) is not None:
                metric = head.metric.name
                measures[metric] = head.metric.measure
                means.setdefault((_strategy(group), metric), {})[name] = mean(group.values(metric))
    return [Reached(strategy, metric, measures[metric], values) for (strategy, metric), values in sorted(means.items())]


def _strategy(group: Group) -> str:
    name = group.run.choices.get("strategy", "")
    return "fine_tune" if name == "scratch" else name
