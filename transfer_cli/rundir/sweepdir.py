"""The ledger of a sweep, `runs/sweeps/<UTC time>-<id>/sweep.json`: a row a run, which every terminal that works on the
sweep reads and writes, each change under a lock. Who computes a run holds the row's lock until its end is written; the
kernel frees that on any death, so a row that says running and is not held is there for the taking."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from json import JSONEncoder
from pathlib import Path
from typing import Any, Self

from transfer_cli.rundir.rundir import Record, make, unfinished
from transfer_cli.rundir.runs import RESULTS, SWEEP, SWEEPS, folders, read_json, run_id
from transfer_cli.safe import hide_secrets, shown
from transfer_cli.store.disk import make_folder
from transfer_cli.store.diskerrors import explained
from transfer_cli.store.lock import Lock, is_held

Row = dict[str, Any]
# a ledger of thousands of rows is written at each change: an indent would cost four times as long
QUICK = JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",\n", ": "))
OPEN = ("to do", "running", "interrupted")  # states of a row that somebody has yet to finish


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """For as long as a file takes to read and write: nobody else is in a block of this `path`."""
    lock = Lock(path)
    while not lock.take(shown(path.parent), tries=1):
        time.sleep(0.005)
    try:
        yield
    finally:
        lock.release()


class SweepDir(Record):
    """One sweep's directory. `data` is sweep.json as last seen. `keeps`: of the terminals at it, this one has its
    lock and says how the sweep ended; when it goes, another takes over."""

    FILE = SWEEP
    FIRST = "s"

    def __init__(self, runs: Path, path: Path, lock: Lock, *, continued: bool) -> None:
        super().__init__(runs, path, lock, continued=continued)
        self._rows: dict[int, Lock] = {}
        self._seen: tuple[int, ...] = ()
        self.keeps = self._lock.take(shown(path))

    @classmethod
    def open(
        cls, runs: Path, digest: str, *, words: Sequence[str], rows: Sequence[Mapping[str, Any]], **more: Any
    ) -> Self:
        """The newest unfinished sweep of this digest, else a new one; `rows` describe its runs, in order, `more` are
        entries of sweep.json. Where nobody is at it, what is not done becomes `to do` again; else one joins in."""
        home = runs / SWEEPS
        with explained(home):
            home.mkdir(mode=0o775, parents=True, exist_ok=True)
        with _alone(runs / ".sweeps"):  # two who start at once are to find one sweep
            found = [path for path in folders(runs, sweeps=True) if unfinished(path / SWEEP, digest)]
            path = found[-1] if found else make(home, cls.FIRST)
            sweep = cls(runs, path, Lock(path / ".lock"), continued=bool(found))
            if sweep.keeps:
                with _alone(path / ".ledger"):
                    before = read_json(path / SWEEP) or {}
                    typed = hide_secrets(words) or before.get("words", [])  # resume has none of its own
                    head = {"schema": "sweep/1", "digest": digest, "words": typed, **more}
                    sweep._begin({**head, "runs": _rows(before, rows)})
            else:
                sweep.refresh()
        return sweep

    @staticmethod
    def finished(runs: Path, digest: str) -> dict[str, Any] | None:
        """sweep.json of the newest sweep of this digest that is done, if its runs still are."""
        for path in reversed(folders(runs, sweeps=True)):
            found = read_json(path / SWEEP) or {}
            if (found.get("digest"), found.get("status")) == (digest, "done"):
                done = [row for row in found["runs"] if row["state"] == "done"]
                return found if all((runs / row["path"] / RESULTS).is_file() for row in done) else None
        return None

    @property
    def rows(self) -> list[Row]:
        """The rows as last seen."""
        found: list[Row] = self.data["runs"]
        return found

    def refresh(self) -> None:
        """Sees what others have written; costs nothing where nobody has."""
        if (now := self._version()) != self._seen:
            self.data, self._seen = read_json(self.path / SWEEP) or self.data, now

    def _text(self) -> bytes:
        return (QUICK.encode(self.data) + "\n").encode("utf-8", "replace")

    def _version(self) -> tuple[int, ...]:
        """Other for each file that a name has had: each is written anew and renamed."""
        with suppress(FileNotFoundError):
            found = os.stat(self.path / SWEEP)
            return found.st_ino, found.st_mtime_ns, found.st_size
        return ()

    @contextmanager
    def changing(self) -> Iterator[list[Row]]:
        """The rows as they are now, to be changed or added to; written at the end of the block."""
        with _alone(self.path / ".ledger"):
            self.refresh()
            self._seen = ()  # what is not written counts for nothing
            yield self.rows
            self._save()
            self._seen = self._version()

    def update(self, changes: Mapping[str, Any]) -> None:
        """Changes top-level entries of sweep.json."""
        with self.changing():
            self.data |= changes

    def set(self, number: int, changes: Mapping[str, Any]) -> None:
        """Changes the row of run `number`."""
        with self.changing() as rows:
            rows[number] |= changes

    def start(self, number: int, run: Path) -> None:
        """Notes where run `number` is, and links to it."""
        self.set(number, {"path": str(run.relative_to(self.runs)), "id": run_id(run), "state": "running"})
        self.link(f"{number:04d}-{run_id(run)}", run, folder="runs")

    def places(self, number: int) -> list[Path] | None:
        """Where run `number` may have been begun; None, not known, if a terminal was perhaps killed before it said."""
        if path := self.rows[number]["path"]:
            return [self.runs / path]
        return None if self.continued else []

    # who computes what
    def is_open(self, number: int) -> bool:
        """Whether run `number` has yet to be finished, by whomever."""
        return self.rows[number]["state"] in OPEN

    def is_taken(self, number: int) -> bool:
        """Whether another terminal has run `number`, or a process that has outlived its terminal."""
        path = self.rows[number]["path"]
        own = number in self._rows
        return not own and (is_held(self._row(number)) or bool(path and is_held(self.runs / path / ".lock")))

    def take(self, number: int) -> bool:
        """Takes run `number`, if it is open and nobody has it; `give` gives it back."""
        make_folder(self.path / ".rows")
        lock = Lock(self._row(number))
        if self.is_taken(number) or not lock.take(shown(self.path), tries=1):
            return False
        self._rows[number] = lock
        self.refresh()  # somebody may have finished it a moment ago
        if not self.is_open(number):
            self.give(number)
            return False
        return True

    def give(self, number: int) -> None:
        """The row of run `number` is written: whoever wants it may have it."""
        self._rows.pop(number).release()

    def _row(self, number: int) -> Path:
        return self.path / ".rows" / f"{number:04d}"

    def keep(self) -> None:
        """Takes over if the terminal that kept the sweep has gone."""
        if not self.keeps and self._lock.take(shown(self.path), tries=1):
            self.keeps = True
            self.update({"status": "running", "code": None, "ended": None})

    def close(self, status: str, code: int) -> None:
        """How the sweep ended, if this terminal keeps it. Who leaves it to others says nothing."""
        if self.keeps:
            with _alone(self.path / ".ledger"):
                self.refresh()  # rows that others have written are not lost
                super().close(status, code)
        else:
            self.release()


def _rows(before: Mapping[str, Any] | None, rows: Sequence[Mapping[str, Any]]) -> list[Row]:
    todo: list[Row] = [{"path": None, "state": "to do", "code": None, **row} for row in rows]
    known: list[Row] = (before or {}).get("runs") or []
    if len(known) < len(todo):
        return todo
    return [row if row["state"] == "done" else {**row, "state": "to do", "code": None} for row in known]
