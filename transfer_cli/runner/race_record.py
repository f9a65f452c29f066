"""The results of an advice so far: the rows of its ledger together with the results of their runs."""

from collections.abc import Sequence
from pathlib import Path

from transfer_cli.analysis.metric import Metric, legacy_measure
from transfer_cli.analysis.results import Run, read
from transfer_cli.measures import Measure
from transfer_cli.rundir.sweepdir import OPEN, Row
from transfer_cli.runner.contenders import Contender
from transfer_cli.runner.successive_halving import FOLDS, Race, Reached, Trial
from transfer_cli.signals import TIME_UP
from transfer_cli.store.store import Store


class RaceRecord:
    """The contenders of an advice and their results. `counts`: labelled training rows of each class; `fold_rows`:
    validation rows of a fold; `budget`: seconds."""

    def __init__(self, contenders: Sequence[Contender], runs: Path, budget: float) -> None:
        self.contenders, self.runs, self.budget = contenders, runs, budget
        first = contenders[0].plan
        labels = first.target.rows("train", seed=first.values["seed"]).labels
        self.fold_rows = max(1, len(labels) // FOLDS)
        self.counts = {name: int((labels == n).sum()) for n, name in enumerate(first.target.names)}
        self._results: dict[str, Run] = {}

    def race(self, order: Sequence[int]) -> Race:
        """The race of the contenders, which start in this order."""
        store = Store(self.runs / ".store", create=False)
        return Race([each.as_pair(store) for each in self.contenders], order, self.fold_rows, self.budget)

    def result(self, row: Row) -> Run | None:
        """The run of a row; None unless it is done and can be read."""
        path = row["path"]
        if row["state"] != "done" or not path:
            return None
        if path not in self._results:
            self._results[path] = read(self.runs / path)
        run = self._results[path]
        return run if run.is_done else None

    def reached(self, rows: Sequence[Row]) -> list[Reached]:
        """The results as the race uses them, without runs that were stopped at the end of the budget."""
        results = []
        for row in rows:
            if row["code"] == TIME_UP or row["state"] == "interrupted":
                continue
            run = self.result(row)
            value = run.headline.metric.value if run is not None and run.headline is not None else None
            seconds = seconds_of(run) if run is not None else 0.0
            results.append(Reached(Trial(*row["trial"]), row["state"] in OPEN, value, seconds))
        return results

    def metric(self, rows: Sequence[Row]) -> Metric | None:
        """The headline metric of the first run that has one; all runs have the same metric."""
        runs = (self.result(row) for row in rows)
        return next((run.headline.metric for run in runs if run is not None and run.headline is not None), None)

    def measure(self, rows: Sequence[Row]) -> Measure:
        """The measure of the headline metric; before the first result, the measure of accuracy."""
        metric = self.metric(rows)
        return legacy_measure("accuracy") if metric is None else metric.measure

    def lower_is_better(self, rows: Sequence[Row]) -> bool:
        return self.measure(rows).lower_is_better


def seconds_of(run: Run) -> float:
    """Seconds of all stages except pretraining, whose result the runs share."""
    return sum(stage.seconds for stage in run.stages if stage.name != "pretrain")
