"""A table of pictures: columns path and label, optionally part (train, val, test). Paths are relative to the table.
The table is the user's own word: absolute paths and `..` are followed, and told in the note."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from transfer_cli.data.contracts import PARTS, Finding, Places, Raw, RawPart, all_files, bad_file, with_test
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
    """A user's own table of pictures. Without a column `part`, `test_fraction` of every class is cut off as test."""

    def __init__(self, *, path: str, test_fraction: Annotated[float, Range(0, 0.9, above=True)] = 0.1) -> None:
        self.path = path
        self.test_fraction = test_fraction

    def open(self, places: Places) -> Raw:
        """Raw with file names and labels; no picture is opened. DataError if the table cannot be read as one; bad
        rows are `faults`."""
        table = Path(self.path).expanduser()
        lines = list(_lines(table, places.word, self.path))
        good = [line for line in lines if not _fault(table, line)]
        classes = _classes({line.label for line in good})
        parts = {part: rows for part in PARTS if (rows := _rows(table, good, part, classes))}
        if "train" not in parts:
            raise DataError(*(_as_faults(table, lines) or [Fault(self.path, "0 rows in its train part")]))
        return Raw(
            self.path,
            classes,
            with_test(parts),
            all_files(parts),
            note=_outside(good),
            layout="table, " + (f"parts {', '.join(parts)}" if len(parts) > 1 else "no train/val/test split"),
            test_fraction=self.test_fraction,
            faults=tuple(fault for line in lines if (fault := _fault(table, line))),
            read=("path", "label"),
        )


def _lines(table: Path, word: str, path: str) -> Iterator[Line]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            _check_header(path, reader.fieldnames or ())
            for cells in reader:
                yield _line(reader.line_num, cells)
    except FileNotFoundError:
        raise DataError(Fault(word, "no such file", path)) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise bad_file(path, f"not readable as CSV in UTF-8: {error}") from None


def _line(row: int, cells: Row) -> Line:
    path, label, part = (cells.get(column) or "" for column in COLUMNS)
    return Line(row, path, label, part or "train", {name: cell or "" for name, cell in cells.items() if name})


def _check_header(path: str, header: object) -> None:
    names = [str(name) for name in header] if isinstance(header, list) else []
    if not names:
        raise DataError(Fault(path, "is empty"))
    for column in ("path", "label"):
        if column not in names:
            text = f"row 1: no column {column}; columns: {', '.join(names)}"
            do = "first row: path,label of pictures, or text,label of texts; maybe part"
            raise DataError(Fault(path, text, nearest=nearest(column, names), do=do))


def _fault(table: Path, line: Line) -> Finding | None:
    """What is wrong with a row, if anything."""
    where = f"{table} row {line.row}"
    if not line.path:
        return Finding("FAIL", "no path", line.label, where, "no path")
    if not line.label.strip():
        return Finding("FAIL", "no label", "", where, f"no label for {line.path}")
    if line.part not in PARTS:
        near = f"; nearest: {found}" if (found := nearest(line.part, PARTS)) else ""
        return Finding("FAIL", "unknown part", line.label, where, f"part {line.part}; allowed {', '.join(PARTS)}{near}")
    if not _is_file(table, line):
        return Finding("FAIL", "missing", line.label, where, f"{line.path}: no such file")
    return None


def _is_file(table: Path, line: Line) -> bool:
    try:
        return (table.parent / line.path).is_file()
    except ValueError:  # a NUL in the path
        return False


def _as_faults(table: Path, lines: list[Line]) -> list[Fault]:
    return [Fault(fault.file, fault.detail) for line in lines if (fault := _fault(table, line))]


def _classes(labels: set[str]) -> tuple[str, ...]:
    """Sorted; as numbers if all are whole numbers, so that 10 comes after 9."""
    if all(label.isdecimal() for label in labels):
        return tuple(sorted(labels, key=lambda label: (int(label), label)))
    return tuple(sorted(labels))


def _rows(table: Path, lines: list[Line], part: str, classes: tuple[str, ...]) -> RawPart | None:
    mine = [line for line in lines if line.part == part]
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers[line.label] for line in mine], np.int64)
    files = tuple(table.parent / line.path for line in mine)
    columns = {name: [line.cells[name] for line in mine] for name in (mine[0].cells if mine else ())}
    return RawPart(labels, lambda row: mine[row].path, files=files, columns=lambda: columns) if mine else None


def _outside(lines: list[Line]) -> str:
    count = sum(Path(line.path).is_absolute() or ".." in Path(line.path).parts for line in lines)
    return f"{count:,} of {len(lines):,} paths point outside the table's folder" if count else ""
