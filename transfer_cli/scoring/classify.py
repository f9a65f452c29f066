"""Scoring of classification: accuracy and related metrics, confusion matrix, probabilities."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from transfer_cli.contracts import Batch, Rows
from transfer_cli.data.dataset import UNKNOWN
from transfer_cli.measures import Measure
from transfer_cli.metrics.classification import (
    classification,
    confusion,
    nll_rows,
    open_set,
    right_rows,
    wilson_interval,
)
from transfer_cli.scoring._probabilities import probability_cells, probability_columns
from transfer_cli.task_contracts import AnswerColumn, Scoring


class Classify(Scoring):
    """Values per row: `scores` [N, C], larger means more likely, and `labels` [N]."""

    measures = {
        "accuracy": Measure(unit="share", primary=True, watched=True, perfect=1.0),
        "top5": Measure(unit="share", label="top-5", perfect=1.0),
        "nll": Measure(unit="nats", lower_is_better=True, label="NLL", watched=True, perfect=0.0),
        "ece": Measure(unit="share", lower_is_better=True, label="ECE", perfect=0.0),
        "precision": Measure(unit="share", label="macro precision", shown=False, perfect=1.0),
        "recall": Measure(unit="share", label="macro recall", shown=False, perfect=1.0),
        "f1": Measure(unit="share", label="macro F1", perfect=1.0),
        "precision_weighted": Measure(unit="share", shown=False, perfect=1.0),
        "recall_weighted": Measure(unit="share", shown=False, perfect=1.0),
        "f1_weighted": Measure(unit="share", shown=False, perfect=1.0),
        "os_star": Measure(unit="share", label="OS*", perfect=1.0),
        "unknown": Measure(unit="share", label="unknown recall", perfect=1.0),
        "hos": Measure(unit="share", label="HOS", perfect=1.0),
    }

    def rows(self, out: Tensor, batch: Batch) -> Rows:
        return {"scores": out.float(), "labels": batch.target()}

    def metrics(self, rows: Rows) -> dict[str, float]:
        """Metrics of `scores` [N, C] against `labels` [N]; a metric of one class is named `f1/<class>`."""
        metrics = classification(rows["scores"], rows["labels"])
        if self.task.names[-1] == UNKNOWN:
            metrics |= open_set(rows["scores"], rows["labels"])
        return self.by_name(metrics)

    def better(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        """Accuracy; ties are broken by the lower negative log-likelihood."""
        return metrics["accuracy"], -metrics["nll"]

    def interval(self, rows: Rows, metric: str) -> tuple[float, float] | None:
        """The Wilson interval of the accuracy; None for other metrics."""
        if metric != "accuracy":
            return None
        value = float(right_rows(rows["scores"], rows["labels"]).mean())
        return wilson_interval(value, len(rows["labels"]))

    def per_row(self, rows: Rows) -> dict[str, Tensor]:
        """`accuracy` [N], 0 or 1, and `nll` [N]."""
        scores, labels = rows["scores"], rows["labels"]
        return {"accuracy": right_rows(scores, labels), "nll": nll_rows(scores, labels)}

    def details(self, rows: Rows) -> dict[str, Any]:
        """The confusion matrix [C, C]."""
        return {"confusion": confusion(rows["scores"], rows["labels"]).tolist()}

    def columns(self) -> list[AnswerColumn]:
        return [AnswerColumn("class"), *probability_columns(self.task.names)]

    def answers(self, out: Tensor, batch: Batch, given: Sequence[Any]) -> list[dict[str, Any]]:
        """The most likely class, the three most likely classes as text, and the probability of each class."""
        names = self.task.names
        return [_answer(names, probabilities) for probabilities in out.float().softmax(1).tolist()]


def _answer(names: Sequence[str], probabilities: Sequence[float]) -> dict[str, Any]:
    best = names[max(range(len(probabilities)), key=probabilities.__getitem__)]
    return {"class": best, **probability_cells(names, probabilities)}
