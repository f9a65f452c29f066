"""A table of pictures: columns path and label, optionally part (train, val, test). Paths are relative to the table.
In place of the column label, columns of 0 and 1 or of numbers may say what there is to learn.
The user wrote the table, so absolute paths and `..` are followed; the note counts them."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from transfer_cli.data.contracts import PARTS, Finding, Places, Raw, RawPart, all_files, bad_file, with_test
from transfer_cli.data.formats.targets import CLASS, TargetColumns, columns_of_lists, columns_of_settings, in_order
from transfer_cli.errors import DataError, Fault, nearest
from transfer_cli.ranges import Range

COLUMNS = ("path", "label", "part")
Row = dict[str | None, str | None]


class Line(NamedTuple):
    """One row of the table and where it stands in the file (the header is row 1)."""

    row: int
    path: str
    label: str
    part: str
    cells: Mapping[str, str] = {}


class Csv:
    """A user's own table of pictures. Without a column `part`, `test_fraction` of every class is cut off as test. In
    place of one class a row: `labels`, columns of 0 and 1; `label_separator`, between several labels in the column
    label (JSON lists need none); `numbers`, columns to predict."""

    def __init__(
        self,
        *,
        path: str,
        labels: str | list[str] | None = None,
        label_separator: str | None = None,
        numbers: str | list[str] | None = None,
        test_fraction: Annotated[float, Range(0, 0.9, above=True)] = 0.1,
    ) -> None:
        self.path = path
        self.target_columns = columns_of_settings(labels, label_separator, numbers, "label")
        self.test_fraction = test_fraction

    def open(self, places: Places) -> Raw:
        """Raw with file names and labels; no picture is opened. DataError if the table cannot be read as one; bad
        rows are `faults`."""
        table = Path(self.path).expanduser()
        lines = list(_lines(table, places.word, self.path, self.target_columns))
        target_columns = self.target_columns or columns_of_lists((line.label for line in lines), "label")
        faults = {row: fault for row, line in enumerate(lines) if (fault := _fault(table, line, target_columns))}
        learned = (
            _targeted(table, lines, faults, target_columns) if target_columns else _classified(table, lines, faults)
        )
        if "train" not in learned.parts:
            raise DataError(*(_as_faults(learned.faults) or [Fault(self.path, "0 rows in its train part")]))
        parts = learned.parts
        outside = _outside([line for row, line in enumerate(lines) if row not in faults])
        return replace(
            learned,
            name=self.path,
            parts=with_test(parts),
            sources=all_files(parts),
            note="; ".join(filter(None, [outside, learned.note])),
            layout="table, " + (f"parts {', '.join(parts)}" if len(parts) > 1 else "no train/val/test split"),
            test_fraction=self.test_fraction,
            read=("path", *(target_columns.columns if target_columns else ("label",))),
        )


def _classified(table: Path, lines: Sequence[Line], faults: Mapping[int, Finding]) -> Raw:
    """Rows with a class each."""
    good = [line for row, line in enumerate(lines) if row not in faults]
    classes = tuple(in_order(line.label for line in good))
    number = {name: place for place, name in enumerate(classes)}
    labels = np.array([number[line.label] for line in good], np.int64)
    return Raw("", classes, _parts(table, good, labels), (), faults=tuple(faults.values()))


def _targeted(table: Path, lines: Sequence[Line], faults: Mapping[int, Finding], target_columns: TargetColumns) -> Raw:
    """Rows with several labels or numbers each."""
    rows = [
        (f"{table} row {line.row}", [line.cells.get(name, "") for name in target_columns.columns]) for line in lines
    ]
    learned = target_columns.targets(rows)
    bad = {**learned.faults, **faults}
    kept = [row for row in range(len(lines)) if row not in bad]
    good, labels = [lines[row] for row in kept], np.zeros(len(kept), np.int64)
    return Raw(
        "", (CLASS,), _parts(table, good, labels, learned.values[kept]), (), task=learned.task, targets=learned.names,
        note=learned.note, faults=tuple(bad[row] for row in sorted(bad)),
    )  # fmt: skip


def _lines(table: Path, word: str, path: str, target_columns: TargetColumns | None) -> Iterator[Line]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_header(path, reader.fieldnames or (), target_columns)
            for cells in reader:
                yield _line(reader.line_num, cells)
    except FileNotFoundError:
        raise DataError(Fault(word, "no such file", path)) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise bad_file(path, f"not readable as CSV in UTF-8: {error}") from None


def _line(row: int, cells: Row) -> Line:
    path, label, part = (cells.get(column) or "" for column in COLUMNS)
    return Line(row, path, label, part or "train", {name: cell or "" for name, cell in cells.items() if name})


def _check_header(path: str, header: object, target_columns: TargetColumns | None) -> None:
    names = [str(name) for name in header] if isinstance(header, list) else []
    if not names:
        raise DataError(Fault(path, "is empty"))
    do = "first row: path,label of pictures, or text,label of texts; maybe part"
    for column in ("path", *(target_columns.columns if target_columns else ("label",))):
        if column not in names:
            text = f"row 1: no column {column}; columns: {', '.join(names)}"
            if target_columns and column != "path":
                do = f"data.{target_columns.setting} names columns of the table" if not target_columns.whole else do
            raise DataError(Fault(path, text, nearest=nearest(column, names), do=do))


def _fault(table: Path, line: Line, target_columns: TargetColumns | None) -> Finding | None:
    """What is wrong with a row, if anything."""
    where = f"{table} row {line.row}"
    if not line.path:
        return Finding("FAIL", "no path", line.label, where, "no path")
    if not target_columns and not line.label.strip():
        return Finding("FAIL", "no label", "", where, f"no label for {line.path}")
    if line.part not in PARTS:
        near = f"; nearest: {word}" if (word := nearest(line.part, PARTS)) else ""
        return Finding("FAIL", "unknown part", line.label, where, f"part {line.part}; allowed {', '.join(PARTS)}{near}")
    if not _is_file(table, line):
        return Finding("FAIL", "missing", line.label, where, f"{line.path}: no such file")
    return None


def _is_file(table: Path, line: Line) -> bool:
    try:
        return (table.parent / line.path).is_file()
    except ValueError:  # a NUL in the path
        return False


def _as_faults(findings: Sequence[Finding]) -> list[Fault]:
    return [Fault(finding.file, finding.detail) for finding in findings]


def _parts(
    table: Path, good: Sequence[Line], labels: np.ndarray, targets: np.ndarray | None = None
) -> dict[str, RawPart]:
    """Rows of each part that has some, train first."""
    parts = {}
    for part in PARTS:
        index = np.flatnonzero([line.part == part for line in good])
        if len(index):
            own = targets[index] if targets is not None else None
            parts[part] = _rows(table, [good[row] for row in index.tolist()], labels[index], own)
    return parts


def _rows(table: Path, mine: Sequence[Line], labels: np.ndarray, targets: np.ndarray | None) -> RawPart:
    files = tuple(table.parent / line.path for line in mine)
    columns = {name: [line.cells[name] for line in mine] for name in mine[0].cells}
    return RawPart(labels, lambda row: mine[row].path, files=files, columns=lambda: columns, targets=targets)


def _outside(lines: Sequence[Line]) -> str:
    count = sum(Path(line.path).is_absolute() or ".." in Path(line.path).parts for line in lines)
    return f"{count:,} of {len(lines):,} paths point outside the table's folder" if count else ""
