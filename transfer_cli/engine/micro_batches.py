"""A batch in parts: how it is divided, and how much each part counts in the mean."""

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from transfer_cli.contracts import Batch, Loss


def split(batch: dict[str, Batch], parts: int) -> Iterator[dict[str, Batch]]:
    """Micro-batches of nearly equal size; fewer than `parts` where a stream has fewer rows, or units of its sampler."""
    parts = min(parts, *(_units(rows) for rows in batch.values()))
    for i in range(parts):
        yield {name: _slice(rows, i, parts) for name, rows in batch.items()}


def weight_of(loss: Loss, batch: dict[str, Batch]) -> float | Tensor:
    """How much the loss of this part of a batch counts: what the method says, else its rows."""
    return float(sum(map(len, batch.values()))) if loss.weight is None else loss.weight


def weighted(loss: Loss, weight: float | Tensor) -> dict[str, Tensor]:
    """Value and logs of a loss times its weight, to be summed over parts."""
    return {name: value.detach() * weight for name, value in {"loss": loss.value, **loss.logs}.items()}


def _units(rows: Batch) -> int:
    return rows.shape[0] if rows.shape else len(rows)


def _slice(rows: Batch, i: int, parts: int) -> Batch:
    units = _units(rows)
    first, last = units * i // parts, units * (i + 1) // parts
    each = len(rows) // units
    shape = (last - first, *rows.shape[1:]) if rows.shape else ()
    return replace(rows.rows(slice(each * first, each * last)), shape=shape)
