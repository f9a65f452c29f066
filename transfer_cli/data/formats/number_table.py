"""A .csv of numbers in which some columns are words. Knows no labels or parts."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from transfer_cli.data.contracts import bad_file
from transfer_cli.errors import DataError, Fault, nearest


class NumberTable(NamedTuple):
    """N rows of a file: `values` float64 [N, D] of the columns of numbers, `words` the cells of the other columns by
    name, and `rows`, the number of each row in the file (the header is row 1)."""

    values: np.ndarray
    words: Mapping[str, list[str]]
    rows: list[int]


def read_numbers(file: Path, words: Sequence[str], needed: Sequence[str] = ()) -> NumberTable:
    """The table in `file`; columns named in `words` or `needed` are not read as numbers. DataError for what is no
    table, lacks a column of `needed`, or has cells that are no numbers."""
    header, rows = _read(file)
    for name in needed:
        if name not in header:
            text = f"no column {name}; columns: {', '.join(header)}"
            raise DataError(Fault(str(file), text, nearest=nearest(name, header)))
    words = [*words, *needed]
    place = {name: header.index(name) for name in words if name in header}
    numbers = [at for at in range(len(header)) if at not in place.values()]
    values = np.array([[_number(file, header, row, cells, at) for at in numbers] for row, cells in rows])
    columns = {name: [cells[at] for _, cells in rows] for name, at in place.items()}
    return NumberTable(values, columns, [row for row, _ in rows])


def _read(file: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the rows that are not empty with their numbers in the file."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            lines = [(reader.line_num, cells) for cells in reader if cells]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise bad_file(file, f"not readable as CSV in UTF-8: {error}") from None
    if len(lines) < 2:
        raise bad_file(file, "0 rows")
    (_, header), *rows = lines
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
