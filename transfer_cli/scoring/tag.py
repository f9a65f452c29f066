"""Scoring of tagging: precision, recall and F1 of entities. A predicted entity is correct only if its type, its first
word and its last word are correct."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Rows
from transfer_cli.measures import Measure
from transfer_cli.metrics.entities import entities, entity_counts, f1_rows
from transfer_cli.metrics.spans import OUTSIDE, spans
from transfer_cli.task_contracts import PADDING, AnswerColumn, Scoring


class Tag(Scoring):
    """Values per row: `counts` [N, types, 3], the numbers of correct, predicted and gold entities of each text. Words
    beyond the context window are predicted as outside of entities, so gold entities there are missed."""

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
        """The entity types, in the order of their tags."""
        return list(dict.fromkeys(name[2:] for name in self.task.names if name != OUTSIDE))

    def rows(self, out: Tensor, batch: Batch) -> Rows:
        learned = batch.target()
        gold = [self._named(row) for row in learned["words"].tolist()]
        return {"counts": entity_counts(gold, self._predicted(out, learned["places"]), self.types)}

    def _predicted(self, out: Tensor, places: Tensor) -> list[list[str]]:
        """The predicted tag of every word of each text."""
        best = out.argmax(-1)
        chosen = torch.where(places >= 0, best.gather(1, places.clamp_min(0)), places)
        return [self._named(row) for row in chosen.tolist()]

    def _named(self, tags: list[int]) -> list[str]:
        return [self.task.names[tag] if tag >= 0 else OUTSIDE for tag in tags if tag != PADDING]

    def metrics(self, rows: Rows) -> dict[str, float]:
        """Metrics over all entities; a metric of one type is named `f1/<type>`."""
        return entities(rows["counts"], self.types)

    def per_row(self, rows: Rows) -> dict[str, Tensor]:
        """`f1` [N, 2], whose ratio of sums is the F1 over all entities."""
        return {"f1": f1_rows(rows["counts"])}

    def columns(self) -> list[AnswerColumn]:
        return [AnswerColumn("entities"), AnswerColumn("tags", "machine")]

    def answers(self, out: Tensor, batch: Batch, given: Sequence[Any]) -> list[dict[str, Any]]:
        """`entities`: the words and the type of each entity; `tags`: one tag per word, separated by spaces."""
        predicted = self._predicted(out, batch.target()["places"])
        return [_answer(str(text).split(), tags) for text, tags in zip(given, predicted, strict=True)]


def _answer(words: Sequence[str], tags: list[str]) -> dict[str, Any]:
    named = [f"{' '.join(words[span.start : span.end + 1])} ({span.type})" for span in spans(tags)]
    return {"entities": ", ".join(named), "tags": " ".join(tags)}
