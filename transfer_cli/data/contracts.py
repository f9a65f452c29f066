"""What a data family hands over (Raw) and where it looks for files (Places). No torch.
A family is a file of this folder with one class; `open(places)` reads names and labels, never all pixels."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from transfer_cli.errors import DataError, Fault

PARTS = ("train", "val", "test")
MB = 1_000_000


class RowKind(Protocol):
    """What data need to know of the kind of their rows, a class of kinds/: see there."""

    item: ClassVar[str]
    looks: ClassVar[str]


@dataclass(frozen=True)
class Finding:
    """One thing `transfer data check` saw. `level` FAIL stops a run, warn and note do not. `file` is what is named
    to the user (with a row, in a table)."""

    level: str
    kind: str
    label: str
    file: str
    detail: str

    def names(self, row: str) -> bool:
        """Whether `row`, a name relative to the data's own folder, is what the finding is about."""
        return self.file == row or self.file.endswith(f"/{row}")


@dataclass(frozen=True)
class RawPart:
    """Rows of one part as stored. `labels` int64 [N]: the class of each row, 0 where rows have no classes. Rows are
    given by `rows`, a function whose result depends on the kind (pictures: uint8 [N, H, W] or [N, H, W, 3]; texts: N
    strings; vectors: float32 [N, D]), or by `files`, one file a row, which the kind opens. `names(i)` is what a person
    calls row i. `columns` gives all cells of a table, N texts by name of the column, "" where there is none. `domains`
    int64 [N]: the domain of each row, None where the data have no domains. `targets`: what a task other than
    classification learns of each row, named by Raw.targets: bool [N, L] for several labels, float32 [N, K] for
    numbers, N arrays of int64 for a tag a word."""

    labels: np.ndarray
    names: Callable[[int], str]
    rows: Callable[[], Any] | None = None
    files: tuple[Path, ...] | None = None
    columns: Callable[[], Mapping[str, Sequence[str]]] | None = None
    domains: np.ndarray | None = None
    targets: Sequence[Any] | np.ndarray | None = None

    def read(self) -> Any:
        """What `rows` gives. Only for rows that are no files."""
        assert self.rows is not None, "the kind opens files itself"
        return self.rows()

    def only(self, rows: np.ndarray) -> "RawPart":
        """The part with these rows [M] alone."""
        index = rows.tolist()
        read, columns, names = self.rows, self.columns, self.names
        return RawPart(
            self.labels[rows],
            lambda row: names(index[row]),
            read and (lambda: taken(read(), rows)),
            tuple(self.files[row] for row in index) if self.files is not None else None,
            columns and (lambda: {key: [cells[row] for row in index] for key, cells in columns().items()}),
            self.domains[rows] if self.domains is not None else None,
            taken(self.targets, rows) if self.targets is not None else None,
        )


def taken(values: Any, rows: np.ndarray) -> Any:
    """Rows [M] of an array or of a sequence of N values."""
    return values[rows] if isinstance(values, np.ndarray) else [values[row] for row in rows.tolist()]


@dataclass(frozen=True)
class Raw:
    """A data set as found, before any view. `parts` always has "train"; without "test", `test_fraction` of every class
    is cut off as test. `sources` are all files that decide the content. `flip`: may pictures be mirrored?
    `kind` is what a row is, a file of kinds/; `task` what there is to learn, a file of tasks/. `targets` are the names
    behind RawPart.targets: labels, numbers or tags; such data have one class, to which all rows belong.
    `classified`: whether the classes mean anything; see `has_classes`.
    `faults` stop a run; `note` says what is not as usual ("train 10,000 of 50,000"); `layout`, `ignored` and `read`,
    the columns of a table that a net sees, are for `data check`. `groups` name rows that a cut must not tear apart;
    `domains` are the names behind the numbers of RawPart.domains.
    `fingerprint` and `digests` (sha256 of each source) are filled in by `describe`."""

    name: str
    classes: tuple[str, ...]
    parts: Mapping[str, RawPart]
    sources: tuple[Path, ...]
    note: str = ""
    flip: bool = True
    kind: str = "pictures"
    task: str = "classify"
    targets: tuple[str, ...] = ()
    classified: bool = True
    test_fraction: float = 0.1
    layout: str = ""
    ignored: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    faults: tuple[Finding, ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    domains: tuple[str, ...] = ()
    fingerprint: str = ""
    digests: Mapping[Path, str] = field(default_factory=dict, repr=False)

    @property
    def has_classes(self) -> bool:
        """Whether rows have classes of their own, and not one that stands for all of them."""
        return self.classified and not self.targets


@dataclass(frozen=True)
class Places:
    """Where named data sets are looked for: $TRANSFER_DATA/<name>/, $TRANSFER_DATA/, then what `transfer fetch`
    brought, <cache>/data/<name>/. `cache` is <runs>/.cache, the only folder that is written to.
    `word` is what the user calls this data set: "data" or "source"; `taken` are the domains that the other data set of
    the run names."""

    cache: Path
    word: str = "data"
    taken: tuple[str, ...] = ()

    def roots(self, name: str) -> Iterator[Path]:
        """Folders that may hold the data set `name`, best first."""
        if given := os.environ.get("TRANSFER_DATA"):
            yield Path(given).expanduser() / name
            yield Path(given).expanduser()
        yield self.cache / "data" / name

    def find(self, name: str, *relative: str) -> Path | None:
        """First existing file among `relative` paths, in the order of the roots."""
        found = (root / path for root in self.roots(name) for path in relative)
        return next((path for path in found if path.is_file()), None)

    def folder(self, name: str) -> Path | None:
        """The folder of the data set `name`, if it has one."""
        return next((root for root in self.roots(name) if root.name == name and root.is_dir()), None)

    def need(self, name: str, wants: str, size_mb: float, *relative: str) -> Path:
        """`find`, or a DataError that names the file, the folder, its variable and the two ways to bring it."""
        if found := self.find(name, *relative):
            return found
        raise DataError(missing(self.word, name, wants, size_mb))


def missing(word: str, name: str, wants: str, size_mb: float, *, fetch: bool = True) -> Fault:
    """The fault of a named data set that is nowhere; `fetch`: can it be brought?"""
    given = os.environ.get("TRANSFER_DATA") or "not set"
    text = f"not in the data folder (TRANSFER_DATA: {given}); wants {wants}, {size_mb:.0f} MB"
    if not fetch:
        return Fault(word, text, name, do="TRANSFER_DATA=/path/to/data transfer ...")
    return Fault(word, text, name, do=f"transfer fetch {name} (network), or: transfer fetch {name} --from FILE")


def bad_file(path: Path | str, text: str) -> DataError:
    """A file of the data that cannot be read; `text` says how."""
    return DataError(Fault(str(path), text))


def digit_names(count: int = 10) -> tuple[str, ...]:
    return tuple(str(digit) for digit in range(count))


def numbered(name: str, part: str) -> Callable[[int], str]:
    """Names of rows that are no files of their own: `usps/test/17`."""
    return lambda row: f"{name}/{part}/{row}"


def with_test(parts: Mapping[str, RawPart]) -> dict[str, RawPart]:
    """Parts as the user brought them; with val and no test, val is the test part and validation is cut from train."""
    if "val" in parts and "test" not in parts:
        return {"train": parts["train"], "test": parts["val"]}
    return dict(parts)


def all_files(parts: Mapping[str, RawPart]) -> tuple[Path, ...]:
    """Files of all parts, train first."""
    return tuple(path for part in PARTS if part in parts for path in parts[part].files or ())
