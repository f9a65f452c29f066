"""Scoring of multilabel classification: average precision, related metrics, probabilities."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Rows
from transfer_cli.measures import Measure
from transfer_cli.metrics.multilabel import f1_rows, multilabel, subset_rows
from transfer_cli.scoring._probabilities import probability_cells, probability_columns
from transfer_cli.task_contracts import AnswerColumn, Scoring


class Multilabel(Scoring):
    """Values per row: `scores` [N, L], logits, and `truth` [N, L], 0 or 1. A label is predicted if its probability is
    above one half."""

    measures = {
        "average_precision": Measure(
            unit="share", label="mean average precision", primary=True, watched=True, perfect=1.0
        ),
        "auroc": Measure(unit="share", label="macro AUROC", perfect=1.0),
        "f1": Measure(unit="share", label="F1", perfect=1.0),
        "f1_micro": Measure(unit="share", label="micro F1", watched=True, perfect=1.0),
        "f1_macro": Measure(unit="share", label="macro F1", perfect=1.0),
        "subset_accuracy": Measure(unit="share", label="all labels right", perfect=1.0),
        "hamming_loss": Measure(unit="share", lower_is_better=True, label="Hamming loss", perfect=0.0),
        "undefined_labels": Measure(unit="count", lower_is_better=True, label="labels without metrics", perfect=0.0),
    }

    def rows(self, out: Tensor, batch: Batch) -> Rows:
        return {"scores": out.float(), "truth": batch.target()}

    def metrics(self, rows: Rows) -> dict[str, float]:
        """Metrics of logits against labels; a metric of one label is named `auroc/<label>`. The metrics of a label are
        undefined if all rows or no rows have it; `undefined_labels` counts these labels. If all labels are undefined,
        the average precision is 0."""
        metrics = {"average_precision": 0.0} | multilabel(rows["scores"], rows["truth"] > 0.5)
        return self.by_name(metrics)

    def per_row(self, rows: Rows) -> dict[str, Tensor]:
        """`subset_accuracy` [N], 0 or 1, and `f1_micro` [N, 2], whose ratio of sums is the micro F1."""
        truth = rows["truth"] > 0.5
        return {"subset_accuracy": subset_rows(rows["scores"], truth), "f1_micro": f1_rows(rows["scores"], truth)}

    def columns(self) -> list[AnswerColumn]:
        return [AnswerColumn("labels"), *probability_columns(self.task.names)]

    def answers(self, out: Tensor, batch: Batch, given: Sequence[Any]) -> list[dict[str, Any]]:
        """The predicted labels, separated by `;`, the three most likely labels as text, and the probability of each."""
        return [self._answer(probabilities) for probabilities in torch.sigmoid(out.float()).tolist()]

    def _answer(self, probabilities: list[float]) -> dict[str, Any]:
        chosen = [name for name, p in zip(self.task.names, probabilities, strict=True) if p > 0.5]
        return {"labels": ";".join(chosen), **probability_cells(self.task.names, probabilities)}
