"""transfer run WORDS --search N --metric target_val/accuracy: Optuna's TPE (Bergstra et al. 2011) chooses the next run
from the validation results of earlier runs. All state is in the ledger: each choice is a function of its rows and of
the number of the run, so a search that was stopped, killed or shared by terminals continues from sweep.json. Results on
test rows have no influence."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transfer_cli.analysis.metric import legacy_measure
from transfer_cli.analysis.results import read
from transfer_cli.config.compose import load
from transfer_cli.config.loader import search_path
from transfer_cli.config.space import Interval, Space, Value, space
from transfer_cli.errors import ConfigError, Fault, TransferError, nearest
from transfer_cli.measures import Measure
from transfer_cli.plan.plan import Plan
from transfer_cli.report.labels import unit_of
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.rundir.runs import read_json
from transfer_cli.rundir.sweepdir import Row, SweepDir
from transfer_cli.runner.options import Options
from transfer_cli.runner.plan_preview import plans_to_run
from transfer_cli.runner.planning import fetch_hub, plan_one
from transfer_cli.runner.single_run import digest_of, fault_of
from transfer_cli.runner.sweep import SweepRunner, refuse_torchrun
from transfer_cli.runner.sweep_end import finish
from transfer_cli.safe import hide_secrets

VALIDATION = ("source_val/", "target_val/")
EXTRA = "optuna"


def search(options: Options, screen: Screen) -> int:
    """Computes `options.search` runs, each chosen from the results of those before, and shows them best first. Returns
    the exit code."""
    refuse_torchrun()
    fetch_hub(options.words, options, screen)
    axes = space(options.words, search_path(options.words, options.config_dirs))
    _check(options)
    corners = [load(words, config_dirs=options.config_dirs) for words in axes.corners()]
    if not plans_to_run(corners, options, screen):
        return 0
    settings = {"runs": options.search, "metric": options.metric}
    ledger = SweepDir.open(
        options.runs, digest_of([*options.words, settings]), words=options.words, rows=[], search=settings
    )
    searching = Search(axes, options, ledger)
    SweepRunner(ledger, searching.plan_of, options, screen, searching.view).complete(searching.more)
    return finish(ledger, options, screen, lambda _: [searching.table()])


def _check(options: Options) -> None:
    metric, faults = str(options.metric or ""), []
    if find_spec(EXTRA) is None:
        faults.append(Fault("--search", "needs an extra: pip install 'transfer-cli[hpo]'"))
    if options.seeds is not None:
        faults.append(Fault("--seeds", "is given with --search; say one of them", str(options.seeds)))
    if not metric:
        faults.append(Fault("--search", "needs --metric, the number to improve", do="--metric target_val/accuracy"))
    elif metric.split("/")[0] in ("test", "oracle"):
        near = f"target_val/{metric.partition('/')[2]}"
        faults.append(Fault("--metric", "nothing is selected on test", metric, VALIDATION, near))
    elif not metric.startswith(VALIDATION):
        faults.append(Fault("--metric", "no validation metric; it begins with source_val/ or target_val/", metric))
    if faults:
        raise ConfigError(*faults)


class Search:
    """Chooses the words of the next run; `more` adds it to the ledger."""

    def __init__(self, axes: Space, options: Options, ledger: SweepDir) -> None:
        self.space, self.options, self.ledger = axes, options, ledger
        self.metric, self.count = str(options.metric), int(options.search or 0)
        self._plans: dict[int, Plan] = {}
        self._values: dict[str, float] = {}

    def plan_of(self, number: int) -> Plan:
        if number not in self._plans:
            self._plans[number] = self._planned(self.space.words(self.ledger.rows[number]["params"]))
        return self._plans[number]

    def _planned(self, words: Sequence[str]) -> Plan:
        return plan_one(load(words, config_dirs=self.options.config_dirs), self.options)

    def more(self) -> bool:
        """Adds a row unless there are enough; returns whether it did. Raises ConfigError if a run that is done lacks
        the metric."""
        with self.ledger.changing() as rows:
            if len(rows) >= self.count:
                return False
            params = ask(
                self.space,
                [(row["params"], self.value(row)) for row in rows],
                len(rows),
                lower=self.measure.lower_is_better,
            )
            words = self.space.words(params)
            row: Row = {"path": None, "state": "to do", "code": None, "words": hide_secrets(words), "params": params}
            try:
                self._plans[len(rows)] = self._planned(words)
            except TransferError as error:  # each value is allowed, but not their combination
                row |= {"state": "failed", "code": error.code, "fault": fault_of(error)}
            rows.append(row)
            return True

    def value(self, row: Row) -> float | None:
        """The metric of the run of a row; None if the run is not done."""
        if row["state"] != "done" or not row["path"]:
            return None
        if row["path"] not in self._values:
            self._values[row["path"]] = reached(self.options.runs / row["path"], self.metric)
        return self._values[row["path"]]

    def view(self, folder: Path, results: dict[str, Any]) -> dict[str, Any]:
        """Results with the validation metric as their headline, so that the display of a search shows no test scores by
        which a user might choose."""
        if results.get("status") != "done":
            return results
        try:
            value = reached(folder, self.metric)
        except ConfigError:  # raised again when the next run is chosen
            return results | {"headline": None}
        head = {"name": self.metric, "rule": "validation", "value": value, "ci95": None, "n": 0, "over": "validation"}
        return results | {"headline": head, "metrics": {"validation": {self.metric: value}}}

    @property
    def measure(self) -> Measure:
        """The measure of the metric of the search, as the first run that is done declares it."""
        path = next((row["path"] for row in self.ledger.rows if row["state"] == "done" and row["path"]), None)
        return read(self.options.runs / path).measure(self.metric) if path else legacy_measure(self.metric)

    def table(self) -> Table:
        """The runs, best first by the metric of the search."""
        measure = self.measure
        rows = [
            {"run": row.get("id"), "state": row["state"], **row["params"], "value": self.value(row)}
            for row in self.ledger.rows
        ]
        rows.sort(key=lambda row: (row["value"] is None, measure.sign * (row["value"] or 0.0)))
        best = next((row for row in rows if row["value"] is not None), None)
        columns = [
            Column("run"),
            *(Column(key) for key in self.space.axes),
            Column("value", unit_of(measure), measure.heading),
            Column("state", state=True),
        ]
        words = [word for word in self.space.words(best) if not word.startswith("seed=")] if best else []
        return Table(
            columns,
            rows,
            title=f"search {self.ledger.id}: {len(rows)} runs, best {self.metric} first",
            notes=["test was not looked at; the best of many on validation rows flatters: judge it by new seeds"],
            next=shlex.join(["transfer", "run", *words, "--seeds", "5"]) if best else "",
            schema="search/1",
        )


def ask(
    space: Space, earlier: Sequence[tuple[Mapping[str, Value], float | None]], number: int, *, lower: bool
) -> dict[str, Value]:
    """The parameter values of run `number`. `earlier`: values and metric of the earlier runs; the metric is None if a
    run is not finished or failed. `lower`: smaller metrics are better."""
    import optuna
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
    from optuna.trial import TrialState, create_trial

    def distribution(axis: Interval | tuple[str, ...]) -> Any:
        if isinstance(axis, tuple):
            return CategoricalDistribution(axis)
        if axis.whole:
            return IntDistribution(int(axis.low), int(axis.high), log=axis.log)
        return FloatDistribution(axis.low, axis.high, log=axis.log)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    axes = {key: distribution(axis) for key, axis in space.axes.items()}
    # `constant_liar` avoids values that failed or that other terminals are computing
    sampler = optuna.samplers.TPESampler(seed=number, constant_liar=True)
    study = optuna.create_study(direction="minimize" if lower else "maximize", sampler=sampler)
    for params, value in earlier:
        state = TrialState.RUNNING if value is None else TrialState.COMPLETE
        study.add_trial(create_trial(state=state, params=dict(params), distributions=axes, value=value))
    chosen = study.ask(axes).params
    return {key: _rounded(chosen[key], space.axes[key]) for key in space.axes}


def _rounded(value: Any, axis: Interval | tuple[str, ...]) -> Value:
    """A value rounded to six significant digits, so that a user can type it again."""
    if isinstance(axis, tuple) or axis.whole:
        return value  # type: ignore[no-any-return]
    return min(max(float(f"{value:.6g}"), axis.low), axis.high)


def reached(run: Path, metric: str) -> float:
    """The validation metric of the net of a run: from the last stage that measured it, at the step of the headline's
    snapshot. Raises ConfigError with the available metrics if no stage measured it."""
    rows = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    with_metric = [row for row in rows if metric in row]
    if not with_metric:
        available = sorted({name for row in rows for name in row if name.startswith(VALIDATION)})
        text = f"not measured by these runs, which have {', '.join(available) or 'no validation'}"
        raise ConfigError(Fault("--metric", text, metric, tuple(available), nearest(metric, available)))
    last = [row for row in with_metric if row["stage"] == with_metric[-1]["stage"]]
    results = read_json(run / "results.json") or {}
    rule = (results.get("headline") or {}).get("rule", "")
    step = results.get("metrics", {}).get(rule, {}).get("step")
    return float(next((row[metric] for row in last if row["step"] == step), last[-1][metric]))


def resumed(options: Options, record: Mapping[str, Any]) -> Options:
    """The options with which a search was started, from its sweep.json."""
    settings = record["search"]
    return replace(
        options, words=tuple(record["words"]), search=settings["runs"], metric=settings["metric"], multirun=True
    )
