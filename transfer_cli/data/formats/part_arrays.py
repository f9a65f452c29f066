"""Arrays of a .npz or .mat by part: train_features, train_labels, val_ and test_ likewise, or features and labels.
Owns which arrays matter and what shapes they must have; knows no classes."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from transfer_cli.data.contracts import PARTS, bad_file
from transfer_cli.data.formats.mat import read_mat
from transfer_cli.data.formats.npz import keys_of, read_array
from transfer_cli.errors import DataError, Fault, nearest

Arrays = Mapping[str, np.ndarray]
DO = "data.features=NAME data.labels=NAME, or data.numbers=NAME for numbers to predict"


def read_arrays(file: Path, features: str, labels: str) -> Arrays:
    """The arrays that are used, by name. DataError if there is none; ConfigError for a .mat without scipy."""
    wanted = [f"{prefix}{name}" for prefix in ("", *(f"{part}_" for part in PARTS)) for name in (features, labels)]
    wanted = [*filter(None, wanted), "classes", "about"]
    if file.suffix.lower() == ".mat":
        return read_mat(file)
    if file.suffix.lower() == ".npz":
        return {name: read_array(file, name) for name in keys_of(file) if name in wanted} or _nothing(file, features)
    raise bad_file(file, "wants a .npz, .mat or .csv")


def _nothing(file: Path, features: str) -> Arrays:
    known = keys_of(file)
    text = f"no array train_{features} or {features}; arrays: {', '.join(known) or 'none'}"
    raise DataError(Fault(str(file), text, do=DO))


def needed(file: Path, arrays: Arrays, name: str) -> np.ndarray:
    """The array `name`, or a DataError with the nearest one."""
    if name not in arrays:
        known = list(arrays) if file.suffix.lower() == ".mat" else keys_of(file)
        text = f"no array {name}; arrays: {', '.join(known) or 'none'}"
        raise DataError(Fault(str(file), text, nearest=nearest(name, known), do=DO))
    return arrays[name]


def by_part(arrays: Arrays, features: str) -> dict[str, str]:
    """part -> the prefix of its arrays; arrays without a prefix are train."""
    return {part: f"{part}_" for part in PARTS if f"{part}_{features}" in arrays} or {"train": ""}


def matrix(file: Path, name: str, values: np.ndarray) -> np.ndarray:
    """float32 [N, D], all finite. DataError names the first number that is not."""
    if values.ndim != 2 or values.dtype.kind not in "uifb" or 0 in values.shape:
        raise bad_file(file, f"{name} is {values.dtype} {list(values.shape)}, want numbers [rows, columns]")
    with np.errstate(over="ignore"):
        numbers = values.astype(np.float32)
    if not np.isfinite(numbers).all():
        row, column = np.argwhere(~np.isfinite(numbers))[0].tolist()
        count = int((~np.isfinite(numbers)).sum())
        text = f"{name} row {row + 1}, column {column + 1}: {values[row, column]:g} is no finite number of 32 bits"
        raise bad_file(file, text + (f"; {count - 1:,} more" if count > 1 else ""))
    return numbers


def labels_of(file: Path, name: str, labels: np.ndarray, rows: int) -> np.ndarray:
    """A label a row [N], or the bool matrix [N, L] of several labels, L >= 2, of which each cell is 0 or 1. DataError
    for anything else."""
    if labels.ndim == 2 and len(labels) == rows and labels.shape[1] > 1 and labels.dtype.kind in "buif":
        flags: np.ndarray = labels == 1
        if (flags | (labels == 0)).all():
            return flags
    column = np.squeeze(labels)  # MATLAB keeps [N, 1] or [1, N]
    if column.ndim == 0:
        column = column[None]
    if column.shape != (rows,) or column.dtype.kind not in "uifUS":
        raise bad_file(file, f"{name} is {labels.dtype} {list(labels.shape)}, want a label for each of {rows:,} rows")
    return column


def numbers_of(file: Path, name: str, numbers: np.ndarray, rows: int) -> np.ndarray:
    """Numbers to predict, float32 [N, K], out of [N] or [N, K]. DataError for another count or what is not finite."""
    if numbers.ndim == 1 or (numbers.ndim == 2 and numbers.shape[0] == 1 != rows):
        numbers = numbers.reshape(-1, 1)
    if len(numbers) != rows:
        raise bad_file(file, f"{name} is {numbers.dtype} {list(numbers.shape)}, want numbers for each of {rows:,} rows")
    return matrix(file, name, numbers)
