"""Rows of numbers with a label each: features worked out elsewhere, or by `transfer predict --features`.
Arrays of a .npz or .mat (train_features, train_labels, val_ and test_ likewise, or features and labels for all), or
the columns of a .csv."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from transfer_cli.data.contracts import PARTS, Places, Raw, RawPart, bad_file, numbered, with_test
from transfer_cli.data.formats.mat import read_mat
from transfer_cli.data.formats.npz import keys_of, numbered_classes, read_array
from transfer_cli.errors import DataError, Fault, nearest
from transfer_cli.ranges import Range
from transfer_cli.safe import safe

Arrays = Mapping[str, np.ndarray]
LABEL, PART = "label", "part"  # columns of a table that are no numbers


class Matrix(NamedTuple):
    """Rows of one part: `values` float32 [N, D], `labels` [N] as stored, None where there are none."""

    values: np.ndarray
    labels: np.ndarray | None


class Features:
    """A matrix and labels from `path`. `features` and `labels` name arrays of a .npz or .mat, with train_, val_, test_
    in front or, for one part of which `test_fraction` is cut off, without; in a .csv, all columns but `label` and
    `part` are numbers. Of arrays, `classes` names the classes 0, 1 ..., and `about` says where features come from."""

    def __init__(
        self,
        *,
        path: str,
        features: str = "features",
        labels: str = "labels",
        test_fraction: Annotated[float, Range(0, 0.9, above=True)] = 0.1,
    ) -> None:
        self.path, self.features, self.labels, self.test_fraction = path, features, labels, test_fraction

    def open(self, places: Places) -> Raw:
        """Raw with rows of numbers. DataError for what is no matrix, not finite, or has other widths or counts;
        ConfigError for a .mat without scipy."""
        file = Path(self.path).expanduser()
        if not file.is_file():
            raise DataError(Fault(places.word, "no such file", self.path))
        arrays = _arrays(file, self.features, self.labels)
        found = _of_table(file) if arrays is None else _of_arrays(file, arrays, self.features, self.labels)
        classes, labels = _classes(file, found, (arrays or {}).get("classes"))
        parts = {part: _rows(self.path, part, found[part].values, rows) for part, rows in labels.items()}
        width = found["train"].values.shape[1]
        about = (arrays or {}).get("about", np.array(""))
        return Raw(
            self.path, classes, with_test(parts), (file,), kind="vectors", flip=False, test_fraction=self.test_fraction,
            layout=f"{width:,} numbers a row, parts {', '.join(parts)}", note=safe(about)[:200],
        )  # fmt: skip


def matrix_of(file: Path) -> np.ndarray:
    """Rows to predict for, which need no labels: float32 [N, D] from the array `features` or the columns of a table.
    DataError as for any other."""
    if not file.is_file():
        raise DataError(
            Fault(str(file), "no such file", do="a .npz or .mat with an array features, or a .csv of numbers")
        )
    arrays = _arrays(file, "features", "")
    if arrays is None:
        return _table(file).values
    return _matrix(file, "features", _need(file, arrays, "features"))


def _rows(title: str, part: str, values: np.ndarray, labels: np.ndarray) -> RawPart:
    return RawPart(labels, numbered(title, part), rows=lambda: values)


def _arrays(file: Path, features: str, labels: str) -> Arrays | None:
    """Arrays that may matter, by name; None for a table."""
    wanted = [f"{prefix}{name}" for prefix in ("", *(f"{part}_" for part in PARTS)) for name in (features, labels)]
    wanted = [*filter(None, wanted), "classes", "about"]
    if file.suffix.lower() == ".mat":
        return read_mat(file)
    if file.suffix.lower() == ".npz":
        return {name: read_array(file, name) for name in keys_of(file) if name in wanted} or _nothing(file, features)
    if file.suffix.lower() == ".csv":
        return None
    raise bad_file(file, "wants a .npz, .mat or .csv")


def _nothing(file: Path, features: str) -> Arrays:
    known = keys_of(file)
    text = f"no array train_{features} or {features}; arrays: {', '.join(known) or 'none'}"
    raise DataError(Fault(str(file), text, do="data.features=NAME data.labels=NAME"))


def _of_arrays(file: Path, arrays: Arrays, features: str, labels: str) -> dict[str, Matrix]:
    """part -> its rows; arrays without a part in their name are train."""
    prefixes = {part: f"{part}_" for part in PARTS if f"{part}_{features}" in arrays} or {"train": ""}
    found = {}
    for part, prefix in prefixes.items():
        values = _matrix(file, prefix + features, _need(file, arrays, prefix + features))
        column = np.squeeze(_need(file, arrays, prefix + labels))  # MATLAB keeps [N, 1] or [1, N]
        if column.ndim == 0:
            column = column[None]
        if column.shape != (len(values),) or column.dtype.kind not in "uifUS":
            told = (
                f"{column.dtype} {list(arrays[prefix + labels].shape)}, want a label for each of {len(values):,} rows"
            )
            raise bad_file(file, f"{prefix + labels} is {told}")
        found[part] = Matrix(values, column)
    return _same_width(file, found)


def _need(file: Path, arrays: Arrays, name: str) -> np.ndarray:
    if name not in arrays:
        known = ", ".join(arrays) or "none"
        raise DataError(Fault(str(file), f"no array {name}; arrays: {known}", nearest=nearest(name, list(arrays))))
    return arrays[name]


def _matrix(file: Path, name: str, values: np.ndarray) -> np.ndarray:
    """float32 [N, D], all finite. DataError names the first number that is not."""
    if values.ndim != 2 or values.dtype.kind not in "uifb" or 0 in values.shape:
        raise bad_file(file, f"{name} is {values.dtype} {list(values.shape)}, want numbers [rows, columns]")
    with np.errstate(over="ignore"):
        made = values.astype(np.float32)
    if not np.isfinite(made).all():
        row, column = np.argwhere(~np.isfinite(made))[0].tolist()
        count = int((~np.isfinite(made)).sum())
        text = f"{name} row {row + 1}, column {column + 1}: {values[row, column]:g} is no finite number of 32 bits"
        raise bad_file(file, text + (f"; {count - 1:,} more" if count > 1 else ""))
    return made


def _same_width(file: Path, found: dict[str, Matrix]) -> dict[str, Matrix]:
    widths = {part: rows.values.shape[1] for part, rows in found.items()}
    if "train" not in found or len(set(widths.values())) > 1:
        told = ", ".join(f"{part} {width:,}" for part, width in widths.items())
        raise bad_file(file, f"columns: {told}" if "train" in found else f"no train part; parts: {told}")
    return found


class Table(NamedTuple):
    """All rows of a table: `values` float32 [N, D], `labels` [N] or None, `parts` [N]."""

    values: np.ndarray
    labels: np.ndarray | None
    parts: np.ndarray


def _of_table(file: Path) -> dict[str, Matrix]:
    """The rows of a table by its column `part`, all of them train if it has none."""
    table = _table(file)
    mine = {part: table.parts == part for part in PARTS if part in table.parts}
    labels = table.labels
    return {part: Matrix(table.values[m], None if labels is None else labels[m]) for part, m in mine.items()}


def _table(file: Path) -> Table:
    header, rows = _read(file)
    place = {name: header.index(name) for name in (LABEL, PART) if name in header}
    numbers = [at for at in range(len(header)) if at not in place.values()]
    parts = [cells[place[PART]] if PART in place else "train" for _, cells in rows]
    if odd := next(((row, part) for (row, _), part in zip(rows, parts, strict=True) if part not in PARTS), None):
        text = f"part {odd[1]}; allowed {', '.join(PARTS)}"
        raise DataError(Fault(f"{file} row {odd[0]}", text, nearest=nearest(odd[1], PARTS)))
    values = np.array([[_number(file, header, row, cells, at) for at in numbers] for row, cells in rows])
    labels = np.array([cells[place[LABEL]] for _, cells in rows]) if LABEL in place else None
    if labels is not None and all(label.lstrip("-").isdecimal() for label in labels):
        labels = labels.astype(np.int64)  # so that 10 comes after 9
    return Table(_matrix(file, "table", values), labels, np.array(parts))


def _read(file: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the rows that are not empty with their numbers in the file."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            found = [(reader.line_num, cells) for cells in reader if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise bad_file(file, f"not readable as CSV in UTF-8: {error}") from None
    if len(found) < 2:
        raise bad_file(file, "0 rows")
    (_, header), *rows = found
    for row, cells in rows:
        if len(cells) != len(header):
            raise bad_file(f"{file} row {row}", f"{len(cells)} cells, want {len(header)} as the header has")
    return header, rows


def _number(file: Path, header: Sequence[str], row: int, cells: Sequence[str], at: int) -> float:
    try:
        return float(cells[at])
    except ValueError:
        do = "columns label and part may be words, all others are numbers"
        raise DataError(Fault(f"{file} row {row}", f"column {header[at]}: {cells[at]} is no number", do=do)) from None


def _classes(
    file: Path, found: Mapping[str, Matrix], names: np.ndarray | None
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    labels = {}
    for part, rows in found.items():
        if rows.labels is None:
            raise DataError(Fault(str(file), f"no column {LABEL}", do=f"name the column of classes {LABEL}"))
        labels[part] = rows.labels
    if "train" not in labels:
        raise bad_file(file, f"0 rows in its train part; parts: {', '.join(labels)}")
    if names is None:
        return numbered_classes(file, labels)
    # all classes are known by name, so a part may lack some of them
    for part, values in labels.items():
        if values.dtype.kind not in "ui" or values.min() < 0 or values.max() >= len(names):
            raise bad_file(file, f"{part}_labels: want whole numbers 0 to {len(names) - 1}, as there are classes")
    return tuple(map(str, names.tolist())), {part: values.astype(np.int64) for part, values in labels.items()}
