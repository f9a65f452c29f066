"""Rows of a table file as cells under columns: separated values or JSON lines. Knows no texts, labels or parts."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transfer_cli.errors import DataError, Fault

SEPARATORS = {".tsv": "\t", ".csv": ","}
JSON = (".jsonl", ".json")


class Record(NamedTuple):
    """One row: its number in the file (the header is row 1), the names of the columns, and the cells. The last cells
    may be missing."""

    row: int
    columns: Sequence[str]
    cells: Sequence[str]

    def cell(self, place: int | None) -> str:
        return self.cells[place] if place is not None and place < len(self.cells) else ""


def is_json(file: Path) -> bool:
    return _kind(file) in JSON


def records(file: Path, text: str, *, header: bool, separator: str | None, max_splits: int | None) -> Iterator[Record]:
    """The rows of `text`, the content of `file`; empty rows are left out. `separator` None: by the ending of the file.
    With `max_splits`, everything after that many separators is one cell. Without a header the columns are called 0, 1,
    ... DataError for what is no table."""
    if is_json(file):
        yield from _json(file, text)
        return
    separator = separator or SEPARATORS.get(_kind(file), "\t")
    full = (found for found in _split(file, text, separator, max_splits) if any(cell.strip() for cell in found[1]))
    first = next(full, None)
    if first is None:
        return
    columns = first[1] if header else [str(place) for place in range(len(first[1]))]
    if not header:
        yield Record(first[0], columns, first[1])
    for row, cells in full:
        yield Record(row, columns, cells)


def _kind(file: Path) -> str:
    return Path(file.name.lower().removesuffix(".gz")).suffix


def _split(file: Path, text: str, separator: str, max_splits: int | None) -> Iterator[tuple[int, list[str]]]:
    if separator not in (",", ";") or max_splits:
        for number, row in enumerate(text.split("\n"), 1):
            yield number, row.split(separator, max_splits or -1)
        return
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(Fault(f"{file} row {reader.line_num}", f"not readable as a table: {error}")) from None


def _json(file: Path, text: str) -> Iterator[Record]:
    columns: Sequence[str] = ()
    for number, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        try:
            found = json.loads(row)
        except (ValueError, RecursionError) as error:
            raise DataError(Fault(f"{file} row {number}", f"no JSON: {error}")) from None
        if not isinstance(found, dict):
            raise DataError(Fault(f"{file} row {number}", "wants an object of columns"))
        columns = columns if list(found) == columns else list(found)
        yield Record(number, columns, [_cell(value) for value in found.values()])


def _cell(value: Any) -> str:
    """A JSON value as a cell; a list stays JSON, so that it can be read as several labels."""
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)
