"""Scoring of tags: precision, recall and F1 of entities, each right only if type, first and last word are."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Rows
from transfer_cli.measures import Measure
from transfer_cli.metrics.entities import entities, entity_counts, f1_rows
from transfer_cli.metrics.spans import spans
from transfer_cli.task_contracts import AnswerColumn, Scoring

OUTSIDE = "O"
PADDING = -100


class Tag(Scoring):
    """Rows: `counts` [N, types, 3], the right, the predicted and the gold entities of each text. Words beyond the net's
    window count as outside of every entity, so what stands there is missed."""

    measures = {
        "f1": Measure(unit="share", label="entity F1", primary=True, watched=True, perfect=1.0),
        "precision": Measure(unit="share", label="entity precision", perfect=1.0),
        "recall": Measure(unit="share", label="entity recall", perfect=1.0),
        "f1_macro": Measure(unit="share", label="macro entity F1", perfect=1.0),
        "precision_macro": Measure(unit="share", label="macro entity precision", perfect=1.0),
        "recall_macro": Measure(unit="share", label="macro entity recall", perfect=1.0),
    }

    @property
    def types(self) -> list[str]:
        """Entity types, in order of their tags."""
        return list(dict.fromkeys(name[2:] for name in self.task.names if name != OUTSIDE))

    def rows(self, out: Tensor, batch: Batch) -> Rows:
        learned = batch.target()
        gold = [self._named(row) for row in learned["words"].tolist()]
        return {"counts": entity_counts(gold, self._predicted(out, learned["places"]), self.types)}

    def _predicted(self, out: Tensor, places: Tensor) -> list[list[str]]:
        """The tag of every word of each text."""
        best = out.argmax(-1)
        chosen = torch.where(places >= 0, best.gather(1, places.clamp_min(0)), places)
        return [self._named(row) for row in chosen.tolist()]

    def _named(self, tags: list[int]) -> list[str]:
        return [self.task.names[tag] if tag >= 0 else OUTSIDE for tag in tags if tag != PADDING]

    def metrics(self, rows: Rows) -> dict[str, float]:
        """Over all entities; those of one type are named `f1/<type>`."""
        return entities(rows["counts"], self.types)

    def per_row(self, rows: Rows) -> dict[str, Tensor]:
        return {"f1": f1_rows(rows["counts"])}

    def columns(self) -> list[AnswerColumn]:
        return [AnswerColumn("entities"), AnswerColumn("tags", "machine")]

    def answers(self, out: Tensor, batch: Batch, given: Sequence[Any]) -> list[dict[str, Any]]:
        """`entities`: the words and the type of each; `tags`: a tag a word, separated by spaces."""
        predicted = self._predicted(out, batch.target()["places"])
        return [_answer(str(text).split(), tags) for text, tags in zip(given, predicted, strict=True)]


def _answer(words: Sequence[str], tags: list[str]) -> dict[str, Any]:
    named = [f"{' '.join(words[span.start : span.end + 1])} ({span.type})" for span in spans(tags)]
    return {"entities": ", ".join(named), "tags": " ".join(tags)}
