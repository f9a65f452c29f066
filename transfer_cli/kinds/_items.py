"""From an opened data set to the rows a net reads: pictures, texts, blocks of a text or vectors, by kind and task."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from transfer_cli.data.cache import converted
from transfer_cli.data.dataset import DataSet, Rows
from transfer_cli.data.placement import placed
from transfer_cli.data.shift import shifted
from transfer_cli.data.tokenizers import Tokenizer, load
from transfer_cli.kinds.pictures import Images
from transfer_cli.kinds.texts import Blocks, Texts, tokens_of
from transfer_cli.kinds.vectors import Vectors

DeviceDataset = Images | Texts | Blocks | Vectors
Model = dict[str, Any]


def tokenizer_of(model: Model, cache: Path) -> Tokenizer | None:
    """The tokenizer of a model that reads texts."""
    spec = model["input"]
    return load(spec["digest"], cache) if "tokenizer" in spec else None


def stored(data: DataSet, part: str, model: Model, cache: Path, device: torch.device, poll: Callable[[], None]) -> Any:
    """All rows of a raw part in the shape the model takes: once for all loaders. `poll` is called once a
    picture."""
    raw, spec = data.raw, model["input"]
    rows = raw.parts[part]
    if raw.kind == "texts":
        tokenizer = load(spec["digest"], cache)
        return tokens_of(raw, part, tokenizer, spec["digest"], cache)
    if raw.kind == "vectors":
        return placed(np.ascontiguousarray(rows.read(), np.float32), device)
    pixels = converted(raw, part, spec, cache, poll=poll)
    if shift := data.view.shifted:
        pixels = shifted(pixels, shift, f"{raw.fingerprint} {spec}", part, cache)
    return placed(pixels, device)


def items(made: Any, data: DataSet, rows: Rows, model: Model, device: torch.device) -> DeviceDataset:
    """`rows` of what `stored` made, with the domain of each where data have such an axis."""
    found = _items(made, data, rows, model, device)
    if rows.domains is not None:
        found.domains = torch.from_numpy(rows.domains).to(device)
    return found


def _items(made: Any, data: DataSet, rows: Rows, model: Model, device: torch.device) -> DeviceDataset:
    if data.raw.kind == "vectors":
        return Vectors(made, rows, policy=data.augment, device=device)
    if data.raw.kind == "pictures":
        return Images(made, rows, model, policy=data.augment, flip=data.flip, device=device)
    kind = Blocks if data.raw.task == "language" else Texts
    return kind(made, rows, length=int(model["input"]["length"]), policy=data.augment, device=device)
