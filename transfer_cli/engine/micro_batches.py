"""Micro-batches: how a batch is split, and the weight of each part in the mean."""

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from transfer_cli.contracts import Batch, Loss


def split(batch: dict[str, Batch], parts: int) -> Iterator[dict[str, Batch]]:
    """Splits a batch into `parts` micro-batches of nearly equal size; into fewer if a stream has fewer rows, or fewer
    units of its sampler."""
    parts = min(parts, *(_units(rows) for rows in batch.values()))
    for i in range(parts):
        yield {name: _slice(rows, i, parts) for name, rows in batch.items()}


def weight_of(loss: Loss, batch: dict[str, Batch]) -> float | Tensor:
    """The weight of this loss in the mean: the weight that the method gives, otherwise the number of rows."""
    return float(sum(map(len, batch.values()))) if loss.weight is None else loss.weight


def weighted(loss: Loss, weight: float | Tensor) -> dict[str, Tensor]:
    """The value and the logs of a loss multiplied by its weight, to be summed over micro-batches."""
    return {name: value.detach() * weight for name, value in {"loss": loss.value, **loss.logs}.items()}


def _units(rows: Batch) -> int:
    return rows.shape[0] if rows.shape else len(rows)


def _slice(rows: Batch, i: int, parts: int) -> Batch:
    units = _units(rows)
    first, last = units * i // parts, units * (i + 1) // parts
    each = len(rows) // units
    shape = (last - first, *rows.shape[1:]) if rows.shape else ()
    return replace(rows.rows(slice(each * first, each * last)), shape=shape)
