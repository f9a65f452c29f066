"""Scoring of pitches."""

from collections.abc import Sequence
from typing import Any

from open_house.metrics.cents import cents
from torch import Tensor

from transfer_cli.contracts import Batch, Rows
from transfer_cli.measures import Measure
from transfer_cli.task_contracts import AnswerColumn, Scoring


class Pitch(Scoring):
    """Rows: `scores` [N, 1] and `truth` [N, 1], in octaves."""

    measures = {
        "cents_off": Measure(unit="cents", lower_is_better=True, label="off pitch", primary=True, watched=True),
        "in_tune": Measure(unit="share", label="within a semitone", perfect=1.0),
    }

    def rows(self, out: Tensor, batch: Batch) -> Rows:
        return {"scores": out.float(), "truth": batch.target()}

    def metrics(self, rows: Rows) -> dict[str, float]:
        off = cents(rows["scores"], rows["truth"])
        return {"cents_off": float(off.mean()), "in_tune": float((off < 100).float().mean())}

    def per_row(self, rows: Rows) -> dict[str, Tensor]:
        return {"cents_off": cents(rows["scores"], rows["truth"])}

    def columns(self) -> list[AnswerColumn]:
        return [AnswerColumn("hertz")]

    def answers(self, out: Tensor, batch: Batch, given: Sequence[Any]) -> list[dict[str, Any]]:
        return [{"hertz": 100 * 2**octaves} for octaves in out.float().squeeze(1).tolist()]
