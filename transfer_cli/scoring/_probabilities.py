"""Answers that consist of probabilities: their columns and cells."""

from collections.abc import Sequence
from typing import Any

from transfer_cli.task_contracts import AnswerColumn

MOST = 3  # names in the text of the most likely ones


def probability_columns(names: Sequence[str]) -> list[AnswerColumn]:
    """The most likely names as text, on the screen only; the probability of each name, in machine output only."""
    return [AnswerColumn("likely", "screen", ""), *(AnswerColumn(f"p_{name}", "machine") for name in names)]


def probability_cells(names: Sequence[str], probabilities: Sequence[float]) -> dict[str, Any]:
    """The cells of these columns for one row."""
    pairs = list(zip(names, probabilities, strict=True))
    ranked = sorted(pairs, key=lambda pair: -pair[1])
    likely = "   ".join(f"{name} {100 * probability:.0f} %" for name, probability in ranked[:MOST])
    return {"likely": likely, **{f"p_{name}": probability for name, probability in pairs}}
