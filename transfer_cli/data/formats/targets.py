"""Targets in the cells of a table: several labels or numbers a row, in place of one class. Knows no files. Readers take
the settings `labels` (columns of 0 and 1), `label_separator` (one cell holds several labels) and `numbers` (columns of
numbers); a cell may also be a JSON list of labels."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from transfer_cli.data.contracts import Finding
from transfer_cli.errors import ConfigError, Fault

CLASS = "row"  # the one class that all rows of such data have
FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}
LARGEST = float(np.finfo(np.float32).max)
Names = str | list[str] | None
Cell = float | bool | list[str]


class Targets(NamedTuple):
    """`values` of N rows: bool [N, L] for labels or float32 [N, K] for numbers, named by `names`. The values of a row
    in `faults` have no meaning."""

    task: str
    names: tuple[str, ...]
    values: np.ndarray
    faults: Mapping[int, Finding]

    @property
    def note(self) -> str:
        """How many rows have none of the labels, if any."""
        good = [row for row in range(len(self.values)) if row not in self.faults]
        none = 0 if self.values.dtype != bool else int((~self.values[good].any(1)).sum())
        return f"{none:,} of {len(good):,} rows have none of the labels" if none else ""


@dataclass(frozen=True)
class TargetColumns:
    """The `columns` that hold the targets of a `task`, as the key `setting` says. With `separator` or `lists` there is
    one column, whose cells hold all labels of a row."""

    task: str
    setting: str
    columns: tuple[str, ...]
    separator: str | None = None
    lists: bool = False

    @property
    def whole(self) -> bool:
        """Whether the column of labels holds all labels of a row."""
        return self.separator is not None or self.lists

    def targets(self, rows: Sequence[tuple[str, Sequence[str]]]) -> Targets:
        """The targets of rows. A row is its place in the file and its cells in the order of `columns`. Bad cells are
        faults."""
        if self.whole:
            return self._sets(rows)
        read: Callable[[str], Cell] = _number if self.setting == "numbers" else _flag
        dtype = np.float32 if self.setting == "numbers" else bool
        values, faults = np.zeros((len(rows), len(self.columns)), dtype), dict[int, Finding]()
        for row, (where, cells) in enumerate(rows):
            for place, (column, cell) in enumerate(zip(self.columns, cells, strict=True)):
                try:
                    values[row, place] = read(cell)
                except ValueError as error:
                    faults.setdefault(row, _fault(where, column, cell, error))
        return Targets(self.task, self.columns, values, faults)

    def _sets(self, rows: Sequence[tuple[str, Sequence[str]]]) -> Targets:
        """The targets of rows with one cell each; the labels are those of all rows, sorted."""
        sets, faults = list[list[str]](), dict[int, Finding]()
        for row, (where, (cell,)) in enumerate(rows):
            try:
                sets.append(_set(cell, self.separator))
            except ValueError as error:
                sets.append([])
                faults[row] = _fault(where, self.columns[0], cell, error)
        names = in_order({name for labels in sets for name in labels})
        place = {name: number for number, name in enumerate(names)}
        values = np.zeros((len(rows), len(names)), bool)
        for row, labels in enumerate(sets):
            values[row, [place[name] for name in labels]] = True
        return Targets(self.task, tuple(names), values, faults)


def columns_of_settings(
    labels: Names, label_separator: str | None, numbers: Names, label: str, word: str = "data"
) -> TargetColumns | None:
    """The columns that the settings of a table name; None for one class a row. `label` is the column that
    `label_separator` splits. ConfigError if two of the settings are given, or one is empty."""
    given = {"labels": labels, "label_separator": label_separator, "numbers": numbers}
    chosen = [key for key, value in given.items() if value is not None]
    if not chosen:
        return None
    if len(chosen) > 1:
        raise ConfigError(Fault(f"{word}.{chosen[1]}", f"not together with {chosen[0]}", str(given[chosen[1]])))
    (setting,) = chosen
    if given[setting] in ("", [], {}):
        raise ConfigError(Fault(f"{word}.{setting}", "is empty; null leaves it out"))
    if setting == "label_separator":
        return TargetColumns("multilabel", setting, (label,), label_separator)
    columns = listed(given[setting])
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise ConfigError(Fault(f"{word}.{setting}", f"names a column twice: {', '.join(twice)}"))
    return TargetColumns("regress" if setting == "numbers" else "multilabel", setting, columns)


def columns_of_lists(cells: Iterable[str], label: str) -> TargetColumns | None:
    """The column `label` as several labels a row, if every cell that is not empty is a JSON list; else None."""
    filled = [cell for cell in cells if cell.strip()]
    if not filled or not all(cell.lstrip().startswith("[") and _is_list(cell) for cell in filled):
        return None
    return TargetColumns("multilabel", "label", (label,), lists=True)


def listed(names: Names) -> tuple[str, ...]:
    """Names or positions of columns as a tuple; a single one needs no list."""
    return tuple(map(str, names)) if isinstance(names, list) else (str(names),)


def in_order(labels: Iterable[str]) -> list[str]:
    """The different labels, sorted; as numbers if all are whole numbers, so that 10 comes after 9."""
    known = set(labels)
    if all(label.isdecimal() for label in known):
        return sorted(known, key=lambda label: (int(label), label))
    return sorted(known)


def _number(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise ValueError("is no number") from None
    if not abs(value) <= LARGEST:  # also false for nan
        raise ValueError("is no finite number of 32 bits")
    return value


def _flag(cell: str) -> bool:
    flag = FLAGS.get(cell.strip().lower())
    if flag is None:
        raise ValueError("is neither 0 nor 1")
    return flag


def _set(cell: str, separator: str | None) -> list[str]:
    """Labels of one cell; an empty one holds none."""
    if cell.lstrip().startswith("[") and _is_list(cell):
        return [str(item) for item in json.loads(cell)]
    if separator is None and cell.strip():
        raise ValueError("is no JSON list of labels")
    return [label for part in cell.split(separator) if (label := part.strip())] if separator else []


def _is_list(cell: str) -> bool:
    try:
        items = json.loads(cell)
    except (ValueError, RecursionError):
        return False
    return isinstance(items, list) and all(isinstance(item, (str, int)) and item != "" for item in items)


def _fault(where: str, column: str, cell: str, error: ValueError) -> Finding:
    if not cell.strip():
        return Finding("FAIL", "missing cell", "", where, f"column {column}: empty")
    return Finding("FAIL", "bad cell", "", where, f"column {column}: {cell.strip()[:40]} {error}")
