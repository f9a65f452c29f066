"""The interface of data readers: the data set that a reader returns (Raw), and where it looks for files (Places).
A reader is a file of data/readers/ with one class; its `open(places)` reads names and labels, not all pixels. No
torch."""

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
    """One finding of `transfer data check`. `level` FAIL stops a run; warn and note do not. `file` is the file shown to
    the user, with the row if it is a table."""

    level: str
    kind: str
    label: str
    file: str
    detail: str

    def names(self, row: str) -> bool:
        """Whether the finding is about `row`, a name relative to the folder of the data."""
        return self.file == row or self.file.endswith(f"/{row}")


@dataclass(frozen=True)
class RawPart:
    """Rows of one part as stored.

    `labels` int64 [N]: the class of each row, 0 if rows have no classes. The content is given by `rows`, a function
    whose result depends on the kind (pictures: uint8 [N, H, W] or [N, H, W, 3]; texts: N strings; vectors: float32 [N,
    D]), or by `files`, one file per row, which the kind opens. `names(i)` is the name of row i in messages. `columns`
    returns all cells of a table, N texts by column name, "" for a missing cell. `domains` int64 [N]: the domain of each
    row, None if the data have no domains. `targets`: what a task other than classification learns of each row, named by
    Raw.targets: bool [N, L] for several labels, float32 [N, K] for numbers, N arrays of int64 for one tag per word."""

    labels: np.ndarray
    names: Callable[[int], str]
    rows: Callable[[], Any] | None = None
    files: tuple[Path, ...] | None = None
    columns: Callable[[], Mapping[str, Sequence[str]]] | None = None
    domains: np.ndarray | None = None
    targets: Sequence[Any] | np.ndarray | None = None

    def read(self) -> Any:
        """The content of all rows. Only for rows that are not files."""
        assert self.rows is not None, "the kind opens files itself"
        return self.rows()

    def only(self, rows: np.ndarray) -> "RawPart":
        """The part reduced to these rows [M]."""
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
    """A data set as stored, before any view.

    `parts` always contains "train"; without "test", `test_fraction` of every class becomes the test part. `sources`:
    all files that determine the content. `flip`: whether pictures may be mirrored. `kind`: the kind of rows, a file of
    kinds/; `task`: the default task, a file of tasks/. `targets`: the names of the columns of RawPart.targets: labels,
    numbers or tags; such data have one class, which contains all rows. `classified`: whether the classes have a
    meaning; see `has_classes`. `faults` stop a run; `note` describes anything unusual ("train 10,000 of 50,000").
    `layout`, `ignored` and `read`, the columns of a table that a net reads, are for `data check`. `groups`: names of
    rows that must stay in the same part or fold. `domains`: the names of the numbers in RawPart.domains. `describe`
    fills in `fingerprint` and `digests` (sha256 of each source)."""

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
        """Whether rows belong to different classes, instead of one class that contains all rows."""
        return self.classified and not self.targets


@dataclass(frozen=True)
class Places:
    """The folders in which named data sets are searched: $TRANSFER_DATA/<name>/, $TRANSFER_DATA/, then
    <cache>/data/<name>/, where `transfer fetch` stores data sets.

    `cache` is <runs>/.cache, the only folder that is written to. `word`: the key of this data set in the configuration,
    "data" or "source", for messages. `taken`: the domains that the other data set of the run uses."""

    cache: Path
    word: str = "data"
    taken: tuple[str, ...] = ()

    def roots(self, name: str) -> Iterator[Path]:
        """Folders that may contain the data set `name`, in order of priority."""
        if given := os.environ.get("TRANSFER_DATA"):
            yield Path(given).expanduser() / name
            yield Path(given).expanduser()
        yield self.cache / "data" / name

    def find(self, name: str, *relative: str) -> Path | None:
        """The first existing file among the `relative` paths, in the order of the roots; None if there is none."""
        found = (root / path for root in self.roots(name) for path in relative)
        return next((path for path in found if path.is_file()), None)

    def folder(self, name: str) -> Path | None:
        """The folder of the data set `name`, or None."""
        return next((root for root in self.roots(name) if root.name == name and root.is_dir()), None)

    def need(self, name: str, wants: str, size_mb: float, *relative: str) -> Path:
        """As `find`. Raises DataError if there is no file: the message names the file `wants`, the folder, its
        environment variable, and how to get it."""
        if found := self.find(name, *relative):
            return found
        raise DataError(missing(self.word, name, wants, size_mb))


def missing(word: str, name: str, wants: str, size_mb: float, *, fetch: bool = True) -> Fault:
    """The fault of a named data set that is not on this machine. `fetch`: whether `transfer fetch` can download it."""
    given = os.environ.get("TRANSFER_DATA") or "not set"
    text = f"not in the data folder (TRANSFER_DATA: {given}); wants {wants}, {size_mb:.0f} MB"
    if not fetch:
        return Fault(word, text, name, do="TRANSFER_DATA=/path/to/data transfer ...")
    return Fault(word, text, name, do=f"transfer fetch {name} (network), or: transfer fetch {name} --from FILE")


def bad_file(path: Path | str, text: str) -> DataError:
    """The error of a data file that cannot be read, for the reason `text`."""
    return DataError(Fault(str(path), text))


def digit_names(count: int = 10) -> tuple[str, ...]:
    return tuple(str(digit) for digit in range(count))


def numbered(name: str, part: str) -> Callable[[int], str]:
    """Names of rows that are not separate files: `usps/test/17`."""
    return lambda row: f"{name}/{part}/{row}"


def with_test(parts: Mapping[str, RawPart]) -> dict[str, RawPart]:
    """Parts as the user provides them. With val but without test, val becomes the test part, and validation rows are
    split from train."""
    if "val" in parts and "test" not in parts:
        return {"train": parts["train"], "test": parts["val"]}
    return dict(parts)


def all_files(parts: Mapping[str, RawPart]) -> tuple[Path, ...]:
    """Files of all parts, train first."""
    return tuple(path for part in PARTS if part in parts for path in parts[part].files or ())
