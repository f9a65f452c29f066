"""Inputs that a command line names for a finished net: files of pictures, texts or rows of numbers. Owns which files
and rows a place means; not how a picture is decoded."""

import csv
from pathlib import Path

from transfer_cli.data.formats.decode import SUFFIXES
from transfer_cli.data.readers.text import read_text
from transfer_cli.data.readers.text_table import texts_of
from transfer_cli.errors import DataError, Fault


def picture_files(place: Path) -> list[Path]:
    """One picture, all pictures of a folder in order of their names, or those that a CSV lists. Raises DataError if
    there are none."""
    if place.is_dir():
        paths = sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    elif place.suffix.lower() == ".csv" and place.is_file():
        paths = _listed(place)
    else:
        paths = [place] if place.is_file() else []
    if not place.exists():
        raise DataError(Fault(str(place), "no such file or folder"))
    if not paths:
        raise DataError(Fault(str(place), "no pictures there", do=f"pictures end in {', '.join(SUFFIXES)}"))
    return paths


def _listed(table: Path) -> list[Path]:
    """Column `path` of a CSV, relative to its folder."""
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or "path" not in rows[0]:
        raise DataError(Fault(str(table), "has no rows with a column path"))
    return [table.parent / row["path"] for row in rows]


def named_texts(place: Path) -> list[tuple[str, str]]:
    """(file and row, text) of every line of a .txt, or of the column `text` of a .csv, .tsv or .jsonl. Raises DataError
    if there are none."""
    if not place.is_file():
        do = "a .txt with a text a line, or a table with a column text"
        raise DataError(Fault(str(place), "no such file", do=do))
    if place.suffix == ".txt":
        lines = enumerate(read_text(place, "utf-8").splitlines(), 1)
        return [(f"{place.name} row {row}", line) for row, line in lines if line.strip()]
    return [(f"{place.name} row {line.row}", line.text) for line in texts_of(place)]
