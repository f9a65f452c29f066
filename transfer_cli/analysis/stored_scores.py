"""Scores of single test rows, as the evaluate stage keeps them: read only where two results are compared row by row.
No torch; a file that is not what it should be counts as none."""

import json
from collections.abc import Mapping, Sequence
from math import log
from pathlib import Path
from typing import Any

from transfer_cli.errors import TransferError
from transfer_cli.store.store import Store

MOST_HEADER = 1 << 20
DTYPES = {"F32": "<f4", "F64": "<f8", "I64": "<i8"}
NEAR = 1e-5  # float32 sums of many rows


def by_row(run: Mapping[str, Any], metric: str, rule: str) -> Sequence[float] | None:
    """A value a test row (or draw of episodes) whose mean is the metric `test/...` of the run; None where the run kept
    none, or where the metric is no mean over rows, as F1."""
    try:
        rows = _values(_tensors(run, rule), metric)
    except (TransferError, OSError, ValueError, KeyError, TypeError):
        return None
    stored = run["metrics"][rule].get(metric)
    if rows is None or stored is None or not len(rows) or abs(float(rows.mean()) - stored) > NEAR:
        return None
    values: list[float] = rows.astype(float).tolist()
    return values


def evaluated(run: Mapping[str, Any], rule: str) -> Mapping[str, Any]:
    """What the evaluate stage of a run found by a rule. Raises TransferError, OSError, ValueError, KeyError or
    TypeError where the stage is gone or is not what it should be."""
    return dict(json.loads(_store(run).read(run["stages"][-1]["key"], "results.json"))["rules"][rule])


def _store(run: Mapping[str, Any]) -> Store:
    return Store(Path(run["path"]).parents[1] / ".store", create=False)


def _tensors(run: Mapping[str, Any], rule: str) -> dict[str, Any]:
    kept = evaluated(run, rule).get("scores", rule)
    return unpacked(_store(run).read(run["stages"][-1]["key"], f"scores-{kept}.safetensors"))


def unpacked(data: bytes) -> dict[str, Any]:
    """Arrays of a safetensors file by name. Raises ValueError, KeyError or TypeError if it is none."""
    import numpy as np

    size = int.from_bytes(data[:8], "little")
    if size > MOST_HEADER:
        raise ValueError("header too long")
    header = json.loads(data[8 : 8 + size])
    body, found = data[8 + size :], {}
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            if not 0 <= start <= end <= len(body):
                raise ValueError(name)
            found[name] = np.frombuffer(body[start:end], dtype=DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return found


def _values(rows: Mapping[str, Any], metric: str) -> Any:
    if metric == "test/accuracy":
        # of equal scores the first class counts, as in metrics/classification.py
        return rows["scores"].argmax(1) == rows["labels"] if "scores" in rows else rows["accuracy"].astype(float)
    if metric == "test/nll" and "scores" in rows:
        return _nll(rows["scores"].astype(float), rows["labels"])
    if metric == "test/bits_per_char":
        return rows["nll"].astype(float) / log(2) / rows["chars"].mean()
    return None


def _nll(scores: Any, labels: Any) -> Any:
    import numpy as np

    highest = scores.max(1)
    return highest + np.log(np.exp(scores - highest[:, None]).sum(1)) - scores[np.arange(len(labels)), labels]
