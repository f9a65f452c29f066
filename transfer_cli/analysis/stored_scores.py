"""Scores of single test rows, which the evaluate stage stores. They are read only where two results are compared row by
row. Uses no torch; an invalid file is treated as absent."""

import json
from collections.abc import Mapping, Sequence
from math import log
from typing import Any

from transfer_cli.analysis.results import Run
from transfer_cli.errors import TransferError
from transfer_cli.store.store import Store

MOST_HEADER = 1 << 20
DTYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8"}
ROW = "row."  # prefix of the name of a tensor that holds one value of a metric for each row
NEAR = 1e-5  # tolerance for float32 sums of many rows


def by_row(run: Run, metric: str, rule: str) -> Sequence[float] | None:
    """One value for each test row (or draw of episodes), whose mean is the metric, given by its bare name. None if the
    run stored none, or if the metric is not a mean over rows, such as macro F1."""
    try:
        tensors = _tensors(run, rule)
        name = f"{ROW}{metric}"
        rows = _of_rows(tensors[name]) if name in tensors else _legacy_rows(tensors, metric)
    except (TransferError, OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    stored = run.metric(metric, rule)
    if rows is None or stored is None or not len(rows) or not abs(float(rows.mean()) - stored.value) <= NEAR:
        return None
    values: list[float] = rows.astype(float).tolist()
    return values


def _of_rows(tensor: Any) -> Any:
    """Values (N,) whose mean is the metric. A tensor (N,) already holds them. A tensor (N, 2) holds numerator and
    denominator of a ratio of sums R, which is linearised: R + (numerator - R * denominator) / mean(denominator);
    Cochran 1977, Sampling Techniques, section 6."""
    rows = tensor.astype(float)
    if rows.ndim == 1:
        return rows
    if rows.ndim != 2 or rows.shape[1] != 2 or not rows[:, 1].sum() > 0:
        return None
    top, below = rows[:, 0], rows[:, 1]
    ratio = top.sum() / below.sum()
    return ratio + (top - ratio * below) / below.mean()


def evaluated(run: Run, rule: str) -> Mapping[str, Any]:
    """The stored results of a run's evaluate stage under a rule. Raises TransferError, OSError, ValueError, KeyError,
    TypeError or IndexError if the stage is gone or not valid."""
    return dict(json.loads(_store(run).read(run.stages[-1].key, "results.json"))["rules"][rule])


def _store(run: Run) -> Store:
    if run.path is None:
        raise KeyError("path")
    return Store(run.path.parents[1] / ".store", create=False)


def _tensors(run: Run, rule: str) -> dict[str, Any]:
    name = evaluated(run, rule).get("scores", rule)
    return unpacked(_store(run).read(run.stages[-1].key, f"scores-{name}.safetensors"))


def unpacked(data: bytes) -> dict[str, Any]:
    """Arrays of a safetensors file by name. Raises ValueError, KeyError or TypeError if `data` is not such a file."""
    import numpy as np

    size = int.from_bytes(data[:8], "little")
    if size > MOST_HEADER:
        raise ValueError("header too long")
    header = json.loads(data[8 : 8 + size])
    body, arrays = data[8 + size :], {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            if not 0 <= start <= end <= len(body):
                raise ValueError(name)
            arrays[name] = np.frombuffer(body[start:end], dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def _legacy_rows(rows: Mapping[str, Any], metric: str) -> Any:
    """Values by row from files of older versions, which hold no `row.` tensors; None for a metric that cannot be
    derived from them."""
    if metric == "accuracy":
        # the first of several classes with equal scores counts, as in metrics/classification.py
        return rows["scores"].argmax(1) == rows["labels"] if "scores" in rows else rows["accuracy"].astype(float)
    if metric == "nll" and "scores" in rows:
        return _nll(rows["scores"].astype(float), rows["labels"])
    if metric == "bits_per_char":
        return rows["nll"].astype(float) / log(2) / rows["chars"].mean()
    return None


def _nll(scores: Any, labels: Any) -> Any:
    import numpy as np

    highest = scores.max(1)
    return highest + np.log(np.exp(scores - highest[:, None]).sum(1)) - scores[np.arange(len(labels)), labels]
