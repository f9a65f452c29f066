"""Tables of texts with a class, several labels or numbers each: CSV, TSV, any separator, or JSON lines; plain or .gz;
one file for each part, or one for all. Columns are given by name or by position (0 is the first)."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np

from transfer_cli.data.contracts import PARTS, Finding, Places, Raw, RawPart, missing, with_test
from transfer_cli.data.domains import joined_domains
from transfer_cli.data.formats.tables import Record, is_json, records
from transfer_cli.data.formats.targets import CLASS, TargetColumns, columns_of_lists, columns_of_settings, in_order
from transfer_cli.data.readers.text import read_text
from transfer_cli.errors import ConfigError, DataError, Fault, nearest
from transfer_cli.ranges import Range


class Line(NamedTuple):
    """One text and where it stands; `cells` are those of the columns that data.labels or data.numbers name."""

    row: int
    text: str
    label: str
    part: str
    cells: tuple[str, ...] = ()


Tables = Mapping[str, tuple[Path, Sequence[Line]]]  # part -> its file and rows


class TextTable:
    """Texts and labels from files: `path` for all (a column `part` may say train, val or test), or `train`, `val` and
    `test` of the named data set `name`. `{domain}` in these names stands for one domain, or for several in turn, whose
    rows are put together. `separator` null: by the ending of the file; cells between commas may be quoted.
    `max_splits`: everything after that many separators is the last cell. `names` are the classes in the order of the
    sorted labels. In place of one class a row: `labels`, columns of 0 and 1; `label_separator`, between several labels
    in the column `label` (JSON lists need none); `numbers`, columns to predict."""

    def __init__(
        self,
        *,
        path: str | None = None,
        name: str | None = None,
        train: str | None = None,
        val: str | None = None,
        test: str | None = None,
        domain: str | list[str] | None = None,
        text: str = "text",
        label: str = "label",
        part: str = "part",
        header: bool = True,
        separator: str | None = None,
        max_splits: Annotated[int, Range(1)] | None = None,
        encoding: str = "utf-8",
        names: list[str] | None = None,
        labels: str | list[str] | None = None,
        label_separator: str | None = None,
        numbers: str | list[str] | None = None,
        test_fraction: Annotated[float, Range(0, 0.9, above=True)] = 0.1,
    ) -> None:
        self.path, self.name, self.domain = path, name, domain
        self.files = {"train": train, "val": val, "test": test}
        self.target_columns, self.label = columns_of_settings(labels, label_separator, numbers, label), label
        self.columns = {"text": text, "label": label, "part": part}
        self.separate = self.target_columns if self.target_columns and not self.target_columns.whole else None
        if self.separate:
            del self.columns["label"]
        self.header, self.separator, self.max_splits = header, separator, max_splits
        self.encoding, self.names, self.test_fraction = encoding, names, test_fraction

    def open(self, places: Places) -> Raw:
        """Raw with texts and labels. DataError if a file is missing, empty, not in its encoding or lacks a column; rows
        without text or label, and labels that are not in train, are `faults`."""
        if isinstance(self.domain, list) and self.domain:
            return joined_domains(
                self.name or "", {str(domain): self._of(domain).open(places) for domain in self.domain}
            )
        files = self._files(places)
        tables = {part: (file, list(self._lines(file, part))) for part, file in files.items()}
        if self.path is not None:
            tables = _by_part(*tables["train"])
        if not tables["train"][1]:
            raise DataError(Fault(str(tables["train"][0]), "0 rows in its train part"))
        target_columns = self.target_columns or columns_of_lists(
            (line.label for _, lines in tables.values() for line in lines), self.label
        )
        learned = self._classified(tables) if target_columns is None else self._targeted(target_columns, tables)
        title = self.path or f"{self.name}{f' {self.domain}' if self.domain else ''}"
        return replace(
            learned, name=title, parts=with_test(learned.parts), sources=tuple(dict.fromkeys(files.values())),
            layout=f"table of texts, parts {', '.join(learned.parts)}", test_fraction=self.test_fraction,
            read=(self.columns["text"], *(target_columns.columns if target_columns else (self.label,))),
        )  # fmt: skip

    def _classified(self, tables: Tables) -> Raw:
        """Rows with a class each."""
        taught = in_order(line.label for line in tables["train"][1] if line.label.strip())
        known = {line.label for _, lines in tables.values() for line in lines if line.label.strip()}
        others = in_order(known - set(taught))
        number = {label: place for place, label in enumerate([*taught, *others])}
        parts = {}
        for part, (file, lines) in tables.items():
            good = [line for line in lines if line.label in number and line.text.strip()]
            labels = np.array([number[line.label] for line in good], np.int64)
            parts.update({part: self._rows(file, good, labels)} if lines else {})
        faults = [fault for file, lines in tables.values() for fault in _faults(file, lines)]
        return Raw("", self._classes(taught) + tuple(others), parts, (), kind="texts", flip=False, faults=tuple(faults))

    def _targeted(self, target_columns: TargetColumns, tables: Tables) -> Raw:
        """Rows with several labels or numbers each."""
        if self.names is not None:
            raise ConfigError(
                Fault("data.names", f"names classes, and data.{target_columns.setting} leaves none", str(self.names))
            )
        rows = [(f"{file} row {line.row}", line) for file, lines in tables.values() for line in lines]
        learned = target_columns.targets([(where, line.cells or (line.label,)) for where, line in rows])
        empty = [Finding("FAIL", "no text", "", where, "no text") for where, line in rows if not line.text.strip()]
        parts, start = {}, 0
        for part, (file, lines) in tables.items():
            places = range(start, start + len(lines))
            good = [row for row in places if rows[row][1].text.strip() and row not in learned.faults]
            labels = np.zeros(len(good), np.int64)
            own = self._rows(file, [rows[row][1] for row in good], labels, learned.values[good])
            parts.update({part: own} if lines else {})
            start += len(lines)
        return Raw(
            "", (CLASS,), parts, (), kind="texts", flip=False, task=learned.task, targets=learned.names,
            note=learned.note, faults=(*empty, *learned.faults.values()),
        )  # fmt: skip

    def _of(self, domain: str) -> "TextTable":
        """The same table for one domain."""
        alone = copy(self)
        alone.domain = str(domain)
        return alone

    def _files(self, places: Places) -> dict[str, Path]:
        if self.path is not None:
            path = Path(self.path).expanduser()
            if not path.is_file():
                raise DataError(Fault(places.word, "no such file", self.path))
            return {"train": path}
        wanted = {part: self._named(file) for part, file in self.files.items() if file}
        if "train" not in wanted or self.name is None:
            raise ConfigError(Fault(f"{places.word}.path", "has no value; wants a file", do="data=./texts.csv"))
        files = {part: places.find(self.name, file, f"text/{self.name}/{file}") for part, file in wanted.items()}
        for part, file in files.items():
            if file is None:
                raise DataError(missing(places.word, self.name, wanted[part], 1, fetch=False))
        return {part: file for part, file in files.items() if file}

    def _named(self, file: str) -> str:
        if "{domain}" not in file:
            return file
        if not isinstance(self.domain, str) or not self.domain.isidentifier():
            raise ConfigError(Fault("data.domain", "wants the name of a domain", str(self.domain)))
        return file.replace("{domain}", self.domain)

    def _lines(self, file: Path, part: str) -> Iterator[Line]:
        columns, place, targets = None, dict[str, int | None](), list[int | None]()
        for record in self._records(file):
            if record.columns is not columns:
                columns = record.columns
                place = {key: self._place(file, record, key, name) for key, name in self.columns.items()}
                targets = self._target_places(file, record)
            own = {key: record.cell(at) for key, at in place.items()}
            cells = tuple(record.cell(at) for at in targets)
            yield Line(record.row, own["text"], own.get("label", ""), own.get("part") or part, cells)

    def _target_places(self, file: Path, record: Record) -> list[int | None]:
        """Which cells of a row are columns of labels or numbers."""
        separate = self.separate
        return [self._place(file, record, separate.setting, name) for name in separate.columns] if separate else []

    def _records(self, file: Path) -> Iterator[Record]:
        how = {"header": self.header, "separator": self.separator, "max_splits": self.max_splits}
        return records(file, read_text(file, self.encoding), **how)  # type: ignore[arg-type]

    def _place(self, file: Path, record: Record, key: str, wanted: str) -> int | None:
        """Which cell of a row is the column `wanted`, as data.`key` says; None for an absent `part`."""
        known = list(record.columns)
        if wanted in known:
            return known.index(wanted)
        if wanted.isdecimal():
            return int(wanted)
        if key == "part":
            return None
        where = f"{file} row {record.row}" if is_json(file) else str(file)
        names = self.header or is_json(file)
        columns = f"columns: {', '.join(known)}" if names else "the table has no header, so it wants a position"
        near = nearest(wanted, known) if names else None
        raise DataError(Fault(where, f"no column {wanted}; {columns}", nearest=near, do=f"data.{key}=COLUMN"))

    def _rows(self, file: Path, good: Sequence[Line], labels: np.ndarray, targets: np.ndarray | None = None) -> RawPart:
        texts = [line.text for line in good]

        def columns() -> dict[str, list[str]]:
            by_row = {record.row: record for record in self._records(file)}
            rows = [dict(zip(by_row[line.row].columns, by_row[line.row].cells, strict=False)) for line in good]
            names = dict.fromkeys(name for cells in rows for name in cells)
            return {name: [cells.get(name, "") for cells in rows] for name in names}

        def name(row: int) -> str:
            return f"{file.name} row {good[row].row}"

        return RawPart(labels, name, rows=lambda: texts, columns=columns, targets=targets)

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


def _by_part(file: Path, lines: Sequence[Line]) -> dict[str, tuple[Path, list[Line]]]:
    odd = next((line for line in lines if line.part not in PARTS), None)
    if odd:
        near = nearest(odd.part, PARTS)
        raise DataError(Fault(f"{file} row {odd.row}", f"part {odd.part}; allowed {', '.join(PARTS)}", nearest=near))
    parts = {part: (file, [line for line in lines if line.part == part]) for part in PARTS}
    return {part: rows for part, rows in parts.items() if rows[1] or part == "train"}


def _faults(file: Path, lines: Sequence[Line]) -> Iterator[Finding]:
    for line in lines:
        where = f"{file} row {line.row}"
        if not line.text.strip():
            yield Finding("FAIL", "no text", line.label, where, "no text")
        elif not line.label.strip():
            yield Finding("FAIL", "no label", "", where, "no label")
