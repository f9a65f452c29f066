"""Tables of texts with a label each: CSV, TSV, any separator, or JSON lines; plain or .gz; one file a part, or one in
all. Columns go by name, or by position (0 is the first)."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from transfer_cli.data.raw import PARTS, Finding, Places, Raw, RawPart, missing, with_test
from transfer_cli.data.text import read_text
from transfer_cli.errors import ConfigError, DataError, Fault, nearest
from transfer_cli.ranges import Range

SEPARATORS = {".tsv": "\t", ".csv": ","}


class Line(NamedTuple):
    """One text and where it stands."""

    row: int
    text: str
    label: str
    part: str


class TextTable:
    """Texts and labels from files: `path` for all (column `part`, where there is one, says train, val or test), or
    `train`, `val` and `test` of the named data set `name`, with `{domain}` in them replaced. `separator` null: by the
    file's ending; of commas, cells may be quoted. `max_splits`: all after that many separators is the last cell.
    `names` are the classes in the order of the sorted labels."""

    def __init__(
        self,
        *,
        path: str | None = None,
        name: str | None = None,
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        domain: str | None = None,
        text: str = "text",
        label: str = "label",
        part: str = "part",
        header: bool = True,
        separator: str | None = None,
        max_splits: Annotated[int, Range(1)] | None = None,
        encoding: str = "utf-8",
        names: list[str] | None = None,
        test_fraction: Annotated[float, Range(0, 0.9, above=True)] = 0.1,
    ) -> None:
        self.path, self.name, self.domain = path, name, domain
        self.files = {"train": train, "val": val, "test": test}
        self.columns = {"text": text, "label": label, "part": part}
        self.header, self.separator, self.max_splits = header, separator, max_splits
        self.encoding, self.names, self.test_fraction = encoding, names, test_fraction

    def open(self, places: Places) -> Raw:
        """Raw with texts and labels. DataError if a file is missing, empty, not in its encoding or lacks a column;
        rows without text or label, and labels that train does not have, are `faults`."""
        files = self._files(places)
        tables = {part: (file, list(self._lines(file, part))) for part, file in files.items()}
        if self.path is not None:
            tables = _by_part(*tables["train"])
        labels = _labels({line.label for line in tables["train"][1] if line.label})
        classes = self._classes(labels)
        faults = [fault for part, (file, lines) in tables.items() for fault in _faults(file, part, lines, set(labels))]
        parts = {part: _rows(file, lines, labels) for part, (file, lines) in tables.items() if lines}
        title = self.path or f"{self.name}{f' {self.domain}' if self.domain else ''}"
        sources = tuple(dict.fromkeys(files.values()))
        layout = f"table of texts, parts {', '.join(parts)}"
        return Raw(
            title, classes, with_test(parts), sources, flip=False, layout=layout, test_fraction=self.test_fraction,
            faults=tuple(faults),
        )  # fmt: skip

    def _files(self, places: Places) -> dict[str, Path]:
        if self.path is not None:
            path = Path(self.path).expanduser()
            if not path.is_file():
                raise DataError(Fault(places.word, "no such file", self.path))
            return {"train": path}
        wanted = {part: self._named(file) for part, file in self.files.items() if file}
        if "train" not in wanted or self.name is None:
            raise ConfigError(Fault(f"{places.word}.path", "has no value; wants a file", do="data=./texts.csv"))
        found = {part: places.find(self.name, file, f"text/{self.name}/{file}") for part, file in wanted.items()}
        for part, file in found.items():
            if file is None:
                raise DataError(missing(places.word, self.name, wanted[part], 1))
        return {part: file for part, file in found.items() if file}

    def _named(self, file: str) -> str:
        if "{domain}" not in file:
            return file
        if not self.domain or not self.domain.isidentifier():
            raise ConfigError(Fault("data.domain", "wants the name of a domain", self.domain))
        return file.replace("{domain}", self.domain)

    def _lines(self, file: Path, part: str) -> Iterator[Line]:
        text = read_text(file, self.encoding)
        kind = Path(file.name.removesuffix(".gz")).suffix
        read = self._json if kind in (".jsonl", ".json") else self._separated
        try:
            yield from read(file, text, part, self.separator or SEPARATORS.get(kind, "\t"))
        except csv.Error as error:
            raise DataError(Fault(str(file), f"not readable as a table: {error}")) from None

    def _separated(self, file: Path, text: str, part: str, separator: str) -> Iterator[Line]:
        if separator in (",", ";") and not self.max_splits:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
            rows: Iterator[tuple[int, list[str]]] = ((reader.line_num, cells) for cells in reader)
        else:
            splits = self.max_splits or -1
            rows = ((number, row.split(separator, splits)) for number, row in enumerate(text.split("\n"), 1))
        full = ((number, cells) for number, cells in rows if any(cell.strip() for cell in cells))
        header = next(full)[1] if self.header else None
        place = {key: self._place(file, key, header) for key in self.columns}
        for number, cells in full:
            found = {key: _cell(cells, at) for key, at in place.items()}
            yield Line(number, found["text"], found.get("label", ""), found.get("part") or part)

    def _place(self, file: Path, key: str, header: list[str] | None) -> int | None:
        """Which cell of a row is the column; None for an absent `part`."""
        wanted = self.columns[key]
        if header and wanted in header:
            return header.index(wanted)
        if wanted.isdecimal():
            return int(wanted)
        if key == "part":
            return None
        columns = f"columns: {', '.join(header)}" if header else "the table has no header, so it wants a position"
        near = nearest(wanted, header or ())
        raise DataError(Fault(str(file), f"no column {wanted}; {columns}", nearest=near, do=f"data.{key}=COLUMN"))

    def _json(self, file: Path, text: str, part: str, separator: str) -> Iterator[Line]:
        for number, row in enumerate(text.split("\n"), 1):
            if not row.strip():
                continue
            try:
                found = json.loads(row)
            except ValueError as error:
                raise DataError(Fault(f"{file} row {number}", f"no JSON: {error}")) from None
            if not isinstance(found, dict):
                raise DataError(Fault(f"{file} row {number}", "wants an object of columns"))
            cells = {key: found.get(name) for key, name in self.columns.items()}
            for key in cells.keys() - {"part"}:
                if self.columns[key] not in found:
                    self._place(file, key, [str(name) for name in found])
            yield Line(number, str(cells["text"]), str(cells.get("label", "")), str(cells.get("part") or part))

    def _classes(self, labels: Sequence[str]) -> tuple[str, ...]:
        if self.names is None:
            return tuple(labels)
        if len(self.names) != len(labels):
            text = f"{len(self.names)} names for {len(labels)} labels: {', '.join(labels[:8])}"
            raise DataError(Fault("data.names", text))
        return tuple(map(str, self.names))


def texts_of(path: Path) -> list[Line]:
    """The texts of a table of new rows, which needs no labels. DataError as for any table."""
    table = TextTable(path=str(path))
    table.columns = {"text": "text"}
    return list(table._lines(path, ""))


def _cell(cells: Sequence[str], place: int | None) -> str:
    return cells[place] if place is not None and place < len(cells) else ""


def _by_part(file: Path, lines: Sequence[Line]) -> dict[str, tuple[Path, list[Line]]]:
    odd = next((line for line in lines if line.part not in PARTS), None)
    if odd:
        near = nearest(odd.part, PARTS)
        raise DataError(Fault(f"{file} row {odd.row}", f"part {odd.part}; allowed {', '.join(PARTS)}", nearest=near))
    found = {part: (file, [line for line in lines if line.part == part]) for part in PARTS}
    return {part: rows for part, rows in found.items() if rows[1] or part == "train"}


def _labels(found: set[str]) -> list[str]:
    """Sorted; as numbers if all are whole numbers, so that 10 comes after 9."""
    if all(label.isdecimal() for label in found):
        return sorted(found, key=lambda label: (int(label), label))
    return sorted(found)


def _faults(file: Path, part: str, lines: Sequence[Line], known: set[str]) -> Iterator[Finding]:
    for line in lines:
        where = f"{file} row {line.row}"
        if not line.text.strip():
            yield Finding("FAIL", "no text", line.label, where, "no text")
        elif not line.label.strip():
            yield Finding("FAIL", "no label", "", where, "no label")
        elif line.label not in known:
            yield Finding("FAIL", "class not in train", line.label, where, f"label {line.label} is not in train")


def _rows(file: Path, lines: Sequence[Line], labels: Sequence[str]) -> RawPart:
    number = {label: place for place, label in enumerate(labels)}
    good = [line for line in lines if line.label in number and line.text.strip()]
    texts = [line.text for line in good]
    names: Callable[[int], str] = lambda row: f"{file.name} row {good[row].row}"  # noqa: E731
    return RawPart(np.array([number[line.label] for line in good], np.int64), names, texts=lambda: texts)
