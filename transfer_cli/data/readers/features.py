"""Rows of numbers with a class, several labels or numbers to predict: features computed elsewhere, or by `transfer
predict --features`. Arrays of a .npz or .mat (formats/part_arrays.py), or the columns of a .csv."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np

from transfer_cli.data.contracts import PARTS, Places, Raw, RawPart, bad_file, numbered, with_test
from transfer_cli.data.formats.npz import numbered_classes
from transfer_cli.data.formats.number_table import NumberTable, read_numbers
from transfer_cli.data.formats.part_arrays import by_part, labels_of, matrix, needed, numbers_of, read_arrays
from transfer_cli.data.formats.targets import CLASS, TargetColumns, columns_of_lists, columns_of_settings
from transfer_cli.errors import ConfigError, DataError, Fault, nearest
from transfer_cli.ranges import Range
from transfer_cli.safe import safe

LABEL, PART = "label", "part"  # columns of a table that are no numbers
Columns = Mapping[str, np.ndarray]  # part -> an entry or a row for each of its rows


class Features:
    """A matrix and labels from `path`. `features` and `labels` name arrays of a .npz or .mat, with the prefix train_,
    val_ or test_, or without a prefix for one part, of which `test_fraction` is cut off. In a .csv all columns but
    `label` and `part` are numbers. The array `classes` names the classes 0, 1 ..., and `about` says where features come
    from. Several labels a row are a matrix of 0 and 1, or in a .csv the columns `labels`, or the column label with
    `label_separator` between them. `numbers` to predict are an array, or columns of a .csv."""

    def __init__(
        self,
        *,
        path: str,
        features: str = "features",
        labels: str | list[str] = "labels",
        label_separator: str | None = None,
        numbers: str | list[str] | None = None,
        test_fraction: Annotated[float, Range(0, 0.9, above=True)] = 0.1,
    ) -> None:
        self.path, self.features, self.labels = path, features, labels
        self.target_columns = columns_of_settings(
            None if isinstance(labels, str) else labels, label_separator, numbers, LABEL
        )
        self.test_fraction = test_fraction

    def open(self, places: Places) -> Raw:
        """Raw with rows of numbers. DataError for arrays that are no matrix, not finite, or of other widths or counts;
        ConfigError for a .mat without scipy."""
        file = Path(self.path).expanduser()
        if not file.is_file():
            raise DataError(Fault(places.word, "no such file", self.path))
        raw = (
            _of_table(self.path, file, self.target_columns) if file.suffix.lower() == ".csv" else self._of_arrays(file)
        )
        width = raw.parts["train"].read().shape[1]
        return replace(
            raw, name=self.path, parts=with_test(raw.parts), sources=(file,), kind="vectors", flip=False,
            test_fraction=self.test_fraction, layout=f"{width:,} numbers a row, parts {', '.join(raw.parts)}",
        )  # fmt: skip

    def _of_arrays(self, file: Path) -> Raw:
        name = self._target_array(file)
        arrays = read_arrays(file, self.features, name)
        values, targets = dict[str, np.ndarray](), dict[str, np.ndarray]()
        for part, prefix in by_part(arrays, self.features).items():
            features, column = prefix + self.features, prefix + name
            values[part] = matrix(file, features, needed(file, arrays, features))
            read = numbers_of if self.target_columns else labels_of
            targets[part] = read(file, column, needed(file, arrays, column), len(values[part]))
        _same_width(file, "columns", values)
        raw = _learned(file, targets, arrays.get("classes"), name if self.target_columns else None)
        rows = {part: _rows(self.path, part, values[part], raw.parts[part]) for part in values}
        return replace(raw, parts=rows, note=safe(arrays.get("about", np.array("")))[:200])

    def _target_array(self, file: Path) -> str:
        """The name of the array that holds what there is to learn."""
        target_columns = self.target_columns
        if target_columns is None:
            return str(self.labels)
        if target_columns.setting != "numbers":
            text = "is for a .csv; of arrays, a matrix of 0 and 1 gives several labels"
            raise ConfigError(Fault(f"data.{target_columns.setting}", text, file.name))
        if len(target_columns.columns) > 1:
            raise ConfigError(Fault("data.numbers", "of arrays it names one", ", ".join(target_columns.columns)))
        return target_columns.columns[0]


def matrix_of(file: Path) -> np.ndarray:
    """Rows to predict for, which need no labels: float32 [N, D] from the array `features` or the columns of a table.
    DataError as in `Features.open`."""
    if not file.is_file():
        raise DataError(
            Fault(str(file), "no such file", do="a .npz or .mat with an array features, or a .csv of numbers")
        )
    if file.suffix.lower() == ".csv":
        return matrix(file, "table", read_numbers(file, (LABEL, PART)).values)
    return matrix(file, "features", needed(file, read_arrays(file, "features", ""), "features"))


def _rows(title: str, part: str, values: np.ndarray, learned: RawPart) -> RawPart:
    """The part `learned`, which has labels and targets, with its rows."""
    return replace(learned, names=numbered(title, part), rows=lambda: values)


def _same_width(file: Path, what: str, columns: Columns) -> None:
    widths = {part: rows.shape[1] for part, rows in columns.items()}
    if "train" not in columns or len(set(widths.values())) > 1:
        listed = ", ".join(f"{part} {width:,}" for part, width in widths.items())
        raise bad_file(file, f"{what}: {listed}" if "train" in columns else f"no train part; parts: {listed}")


def _learned(file: Path, targets: Columns, classes: np.ndarray | None, numbers: str | None) -> Raw:
    """The targets or classes in arrays; `numbers` is the name of an array of numbers, else None. Rows are still
    missing."""
    if numbers is None and all(column.ndim == 1 for column in targets.values()):
        names, labels = _classes(file, targets, classes)
        return Raw("", names, {part: RawPart(rows, str) for part, rows in labels.items()}, ())
    if odd := [part for part, column in targets.items() if column.ndim == 1]:
        raise bad_file(file, f"{odd[0]} rows have one label, others several")
    _same_width(file, "columns of targets", targets)
    width = targets["train"].shape[1]
    names = tuple(map(str, range(width))) if classes is None else tuple(map(str, classes.tolist()))
    if numbers is not None:
        names = (numbers,) if width == 1 else tuple(f"{numbers} {column}" for column in range(width))
    if len(names) != width:
        raise bad_file(file, f"classes has {len(names)} names for {width} labels")
    task = "multilabel" if numbers is None else "regress"
    parts = {part: RawPart(np.zeros(len(rows), np.int64), str, targets=rows) for part, rows in targets.items()}
    return Raw("", (CLASS,), parts, (), task=task, targets=names)


def _of_table(title: str, file: Path, target_columns: TargetColumns | None) -> Raw:
    table = read_numbers(file, (LABEL, PART), target_columns.columns if target_columns else ())
    values = matrix(file, "table", table.values)
    parts = np.array(table.words.get(PART, ["train"] * len(values)))
    _check_parts(file, table, parts)
    mine = {part: np.flatnonzero(parts == part) for part in PARTS if part in parts}
    target_columns = target_columns or columns_of_lists(table.words.get(LABEL, ()), LABEL)
    if target_columns is None:
        labels = {part: _table_labels(file, table)[index] for part, index in mine.items()}
        classes, numbers = _classes(file, labels, None)
        known = {part: _rows(title, part, values[index], RawPart(numbers[part], str)) for part, index in mine.items()}
        return Raw("", classes, known, ())
    return _table_targets(title, file, target_columns, table, values, mine)


def _table_targets(
    title: str,
    file: Path,
    target_columns: TargetColumns,
    table: NumberTable,
    values: np.ndarray,
    mine: Mapping[str, np.ndarray],
) -> Raw:
    """Rows of a table with several labels or numbers each; those with bad cells are faults."""
    cells = zip(*(table.words[name] for name in target_columns.columns), strict=True)
    learned = target_columns.targets([(f"{file} row {row}", own) for row, own in zip(table.rows, cells, strict=True)])
    parts = {}
    for part, index in mine.items():
        good = index[[row not in learned.faults for row in index.tolist()]]
        targets = RawPart(np.zeros(len(good), np.int64), str, targets=learned.values[good])
        parts[part] = _rows(title, part, values[good], targets)
    if "train" not in parts:
        raise bad_file(file, f"0 rows in its train part; parts: {', '.join(parts)}")
    faults = tuple(learned.faults.values())
    return Raw("", (CLASS,), parts, (), task=learned.task, targets=learned.names, note=learned.note, faults=faults)


def _check_parts(file: Path, table: NumberTable, parts: np.ndarray) -> None:
    for row, part in zip(table.rows, parts.tolist(), strict=True):
        if part not in PARTS:
            text = f"part {part}; allowed {', '.join(PARTS)}"
            raise DataError(Fault(f"{file} row {row}", text, nearest=nearest(part, PARTS)))


def _table_labels(file: Path, table: NumberTable) -> np.ndarray:
    """A class for each row [N], as numbers if all are, so that 10 comes after 9."""
    if LABEL not in table.words:
        raise DataError(Fault(str(file), f"no column {LABEL}", do=f"name the column of classes {LABEL}"))
    cells = table.words[LABEL]
    whole = all(label.lstrip("-").isdecimal() for label in cells)
    return np.array(cells).astype(np.int64) if whole else np.array(cells)


def _classes(file: Path, labels: Columns, names: np.ndarray | None) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Names of the classes, and labels int64 [N] of each part by them."""
    if "train" not in labels:
        raise bad_file(file, f"0 rows in its train part; parts: {', '.join(labels)}")
    if names is None:
        return numbered_classes(file, labels)
    # all classes are known by name, so a part may lack some of them
    for part, values in labels.items():
        if values.dtype.kind not in "ui" or values.min() < 0 or values.max() >= len(names):
            raise bad_file(file, f"{part}_labels: want whole numbers 0 to {len(names) - 1}, as there are classes")
    return tuple(map(str, names.tolist())), {part: values.astype(np.int64) for part, values in labels.items()}
