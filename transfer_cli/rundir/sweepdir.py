"""The ledger of a sweep, `runs/sweeps/<UTC time>-<id>/sweep.json`, with one row for each run.

All terminals that work on the sweep read and write the ledger, and each change is made under a lock. The process that
computes a run holds the lock of its row until the result is written. The kernel releases that lock when the process
dies, so another terminal may take a row whose state is `running` and whose lock is free."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from json import JSONEncoder
from pathlib import Path
from typing import Any, Self

from transfer_cli.rundir.rundir import Record, new_directory, unfinished
from transfer_cli.rundir.runs import RESULTS, SWEEP, SWEEPS, folders, read_json, run_id
from transfer_cli.safe import hide_secrets, shown
from transfer_cli.store.disk import make_folder
from transfer_cli.store.diskerrors import explained
from transfer_cli.store.lock import Lock, is_held

Row = dict[str, Any]
# a ledger of thousands of rows is written at each change, and indented JSON would take four times as long
QUICK = JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",\n", ": "))
OPEN = ("to do", "running", "interrupted")  # states of a row that is not finished


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Holds the lock `path` during the block. It waits for the lock, so blocks must only read and write a file."""
    lock = Lock(path)
    while not lock.take(shown(path.parent), tries=1):
        time.sleep(0.005)
    try:
        yield
    finally:
        lock.release()


class SweepDir(Record):
    """The directory of one sweep. `data` is sweep.json as last read. `keeps`: this terminal holds the lock of the sweep
    and writes how it ended; when it exits, another terminal that works on the sweep takes over."""

    FILE = SWEEP
    FIRST = "s"

    def __init__(self, runs: Path, path: Path, lock: Lock, *, continued: bool) -> None:
        super().__init__(runs, path, lock, continued=continued)
        self._rows: dict[int, Lock] = {}
        self._last_version: tuple[int, ...] = ()
        self.keeps = self._lock.take(shown(path))

    @classmethod
    def open(
        cls, runs: Path, digest: str, *, words: Sequence[str], rows: Sequence[Mapping[str, Any]], **more: Any
    ) -> Self:
        """The newest unfinished sweep of this digest, else a new one. `rows` describe its runs, in order; `more` are
        further entries of sweep.json. If no other terminal works on the sweep, all rows that are not done become
        `to do` again; otherwise this terminal joins it. Raises StoreError or ResourceError."""
        home = runs / SWEEPS
        with explained(home):
            home.mkdir(mode=0o775, parents=True, exist_ok=True)
        with _exclusive(runs / ".sweeps"):  # two terminals that start at the same time must use the same sweep
            open_sweeps = [path for path in folders(runs, sweeps=True) if unfinished(path / SWEEP, digest)]
            path = open_sweeps[-1] if open_sweeps else new_directory(home, cls.FIRST)
            sweep = cls(runs, path, Lock(path / ".lock"), continued=bool(open_sweeps))
            if sweep.keeps:
                with _exclusive(path / ".ledger"):
                    before = read_json(path / SWEEP) or {}
                    typed = hide_secrets(words) or before.get("words", [])  # the command resume has no words
                    head = {"schema": "sweep/1", "digest": digest, "words": typed, **more}
                    sweep._begin({**head, "runs": _rows(before, rows)})
            else:
                sweep.refresh()
        return sweep

    @staticmethod
    def finished(runs: Path, digest: str) -> dict[str, Any] | None:
        """sweep.json of the newest sweep of this digest that is done; None if there is none, or if results of its
        runs are gone."""
        for path in reversed(folders(runs, sweeps=True)):
            ledger = read_json(path / SWEEP) or {}
            if (ledger.get("digest"), ledger.get("status")) == (digest, "done"):
                done = [row for row in ledger["runs"] if row["state"] == "done"]
                return ledger if all((runs / row["path"] / RESULTS).is_file() for row in done) else None
        return None

    @property
    def rows(self) -> list[Row]:
        """The rows as last read."""
        rows: list[Row] = self.data["runs"]
        return rows

    def refresh(self) -> None:
        """Reads the ledger again if another terminal has changed it."""
        if (version := self._version()) != self._last_version:
            self.data, self._last_version = read_json(self.path / SWEEP) or self.data, version

    def _text(self) -> bytes:
        return (QUICK.encode(self.data) + "\n").encode("utf-8", "replace")

    def _version(self) -> tuple[int, ...]:
        """Identifies the present version of sweep.json. Each write creates a new file and renames it, so the version
        differs after every write."""
        with suppress(FileNotFoundError):
            stat = os.stat(self.path / SWEEP)
            return stat.st_ino, stat.st_mtime_ns, stat.st_size
        return ()

    @contextmanager
    def changing(self) -> Iterator[list[Row]]:
        """The present rows, which the block may change or extend; they are written at the end of the block."""
        with _exclusive(self.path / ".ledger"):
            self.refresh()
            self._last_version = ()  # if the block fails, the changed rows in memory are not valid
            yield self.rows
            self._save()
            self._last_version = self._version()

    def update(self, changes: Mapping[str, Any]) -> None:
        """Changes top-level entries of sweep.json."""
        with self.changing():
            self.data |= changes

    def set(self, number: int, changes: Mapping[str, Any]) -> None:
        """Changes the row of run `number`."""
        with self.changing() as rows:
            rows[number] |= changes

    def start(self, number: int, run: Path) -> None:
        """Writes the directory of run `number` into its row and links to it."""
        self.set(number, {"path": str(run.relative_to(self.runs)), "id": run_id(run), "state": "running"})
        self.link(f"{number:04d}-{run_id(run)}", run, folder="runs")

    def places(self, number: int) -> list[Path] | None:
        """Directories in which run `number` may have been started. None means not known: a terminal may have been
        killed before it wrote the directory into the row."""
        if path := self.rows[number]["path"]:
            return [self.runs / path]
        return None if self.continued else []

    # which terminal computes which run
    def is_open(self, number: int) -> bool:
        """Whether run `number` is not finished yet."""
        return self.rows[number]["state"] in OPEN

    def is_taken(self, number: int) -> bool:
        """Whether another terminal computes run `number`, or a process that still runs after its terminal exited."""
        path = self.rows[number]["path"]
        own = number in self._rows
        return not own and (is_held(self._row(number)) or bool(path and is_held(self.runs / path / ".lock")))

    def take(self, number: int) -> bool:
        """Takes run `number` if it is open and no other terminal has it; returns whether it did. `give` releases it."""
        make_folder(self.path / ".rows")
        lock = Lock(self._row(number))
        if self.is_taken(number) or not lock.take(shown(self.path), tries=1):
            return False
        self._rows[number] = lock
        self.refresh()  # another terminal may have finished it just before
        if not self.is_open(number):
            self.give(number)
            return False
        return True

    def give(self, number: int) -> None:
        """Releases run `number`, whose row must be written before: another terminal may then take it."""
        self._rows.pop(number).release()

    def _row(self, number: int) -> Path:
        return self.path / ".rows" / f"{number:04d}"

    def keep(self) -> None:
        """Takes over the sweep if the terminal that kept it has exited."""
        if not self.keeps and self._lock.take(shown(self.path), tries=1):
            self.keeps = True
            self.update({"status": "running", "code": None, "ended": None})

    def close(self, status: str, code: int) -> None:
        """Writes how the sweep ended if this terminal keeps it; otherwise only releases it."""
        if self.keeps:
            with _exclusive(self.path / ".ledger"):
                self.refresh()  # keeps rows that other terminals have written
                super().close(status, code)
        else:
            self.release()


def _rows(before: Mapping[str, Any] | None, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    todo: list[Row] = [{"path": None, "state": "to do", "code": None, **row} for row in rows]
    rows_before: list[Row] = (before or {}).get("runs") or []
    if len(rows_before) < len(todo):
        return todo
    return [row if row["state"] == "done" else {**row, "state": "to do", "code": None} for row in rows_before]
