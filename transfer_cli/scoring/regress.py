"""Scoring of regression: errors in the unit of the data, explained variance, rank correlation."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from transfer_cli.contracts import Batch, Rows
from transfer_cli.measures import Measure
from transfer_cli.metrics.regression import absolute_rows, intervals, regression, root_rows
from transfer_cli.task_contracts import AnswerColumn, Scoring


class Regress(Scoring):
    """Values per row: `scores` [N, K], the predicted numbers, and `truth` [N, K]."""

    measures = {
        "rmse": Measure(lower_is_better=True, label="RMSE", primary=True, watched=True, perfect=0.0),
        "mae": Measure(lower_is_better=True, label="MAE", watched=True, perfect=0.0),
        "r2": Measure(label="R2", perfect=1.0),
        "spearman": Measure(label="Spearman correlation", perfect=1.0),
    }

    def rows(self, out: Tensor, batch: Batch) -> Rows:
        return {"scores": out.float(), "truth": batch.target()}

    def metrics(self, rows: Rows) -> dict[str, float]:
        """Metrics, averaged over the K numbers; a metric of one number is named `rmse/<name>`."""
        metrics = regression(rows["scores"], rows["truth"])
        return self.by_name(metrics)

    def interval(self, rows: Rows, metric: str) -> tuple[float, float] | None:
        """The intervals of MAE and RMSE over rows; None for other metrics."""
        return intervals(rows["scores"], rows["truth"]).get(metric)

    def per_row(self, rows: Rows) -> dict[str, Tensor]:
        """`mae` and `rmse` [N], whose means are the metrics."""
        predicted, truth = rows["scores"], rows["truth"]
        return {"mae": absolute_rows(predicted, truth), "rmse": root_rows(predicted, truth)}

    def columns(self) -> list[AnswerColumn]:
        return [AnswerColumn(name) for name in self.task.names]

    def answers(self, out: Tensor, batch: Batch, given: Sequence[Any]) -> list[dict[str, Any]]:
        """One column per number."""
        return [dict(zip(self.task.names, row, strict=True)) for row in out.float().tolist()]
