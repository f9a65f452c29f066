"""What the runs of an advice reached so far: the rows of its ledger, read together with the results of those runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer_cli.analysis import run_labels
from transfer_cli.rundir.runs import read_json
from transfer_cli.rundir.sweepdir import OPEN, Row
from transfer_cli.runner.contenders import Contender
from transfer_cli.runner.successive_halving import FOLDS, Race, Reached, Trial
from transfer_cli.signals import TIME_UP
from transfer_cli.store.store import Store


class RaceRecord:
    """`counts`: labelled training rows of each class; `fold_rows`: validation rows of a fold; `budget` in seconds."""

    def __init__(self, contenders: Sequence[Contender], runs: Path, budget: float) -> None:
        self.contenders, self.runs, self.budget = contenders, runs, budget
        first = contenders[0].plan
        labels = first.target.rows("train", seed=first.values["seed"]).labels
        self.fold_rows = max(1, len(labels) // FOLDS)
        self.counts = {name: int((labels == n).sum()) for n, name in enumerate(first.target.names)}
        self._results: dict[str, dict[str, Any]] = {}

    def race(self, order: Sequence[int]) -> Race:
        """The race of the contenders, begun in this order."""
        store = Store(self.runs / ".store", create=False)
        return Race([each.as_pair(store) for each in self.contenders], order, self.fold_rows, self.budget)

    def results(self, row: Row) -> Mapping[str, Any]:
        """results.json of a row that is done; empty for any other row."""
        path = row["path"]
        if row["state"] != "done" or not path:
            return {}
        if path not in self._results:
            self._results[path] = read_json(self.runs / path / "results.json") or {}
        return self._results[path]

    def reached(self, rows: Sequence[Row]) -> list[Reached]:
        """Rows as the race takes them, without runs that the end of the budget cut off."""
        found = []
        for row in rows:
            if row["code"] == TIME_UP or row["state"] == "interrupted":
                continue
            results = self.results(row)
            value = results["headline"]["value"] if results.get("headline") else None
            seconds = sum(stage["seconds"] for stage in results.get("stages", ()) if stage["name"] != "pretrain")
            found.append(Reached(Trial(*row["trial"]), row["state"] in OPEN, value, seconds))
        return found

    def metric(self, rows: Sequence[Row]) -> str:
        """Name of the headline metric of the runs."""
        heads = (self.results(row).get("headline") for row in rows)
        return next((str(head["name"]) for head in heads if head), "val/accuracy")

    def lower_is_better(self, rows: Sequence[Row]) -> bool:
        return run_labels.sign(self.metric(rows)) > 0
