"""What a run leaves for people and for compare: `runs/<strategy>-<data>/<UTC time>-<id>/`.

Owns every path under runs/ but the store. results.json is there from the start and says how far the run is; the run's
lock says whether somebody is at it. Reading back: runs.py; sweeps: sweepdir.py."""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from transfer_cli.errors import Fault, StoreError
from transfer_cli.rundir.record import env, versions
from transfer_cli.rundir.runs import RESULTS, append_order, read_json, run_id
from transfer_cli.rundir.runs import find as find
from transfer_cli.rundir.runs import folders as folders
from transfer_cli.rundir.runs import listing as listing
from transfer_cli.rundir.runs import summary as summary
from transfer_cli.safe import check_name, hide_places, hide_secrets, safe, scrub, shown
from transfer_cli.store.disk import Lines, make_folder, put
from transfer_cli.store.diskerrors import explained, point
from transfer_cli.store.lock import Lock

LETTERS = "abcdefghjkmnpqrtvwxyz"  # no i l o u; s begins the ids of sweeps only
SIGNS = "0123456789abcdefghjkmnpqrstvwxyz"
ID_TRIES = 16


def utc_now() -> datetime:
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """`2026-11-22T10:15:02Z`"""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def new_id(first: str = LETTERS) -> str:
    """A letter and five digits or letters: never read as a number, never mistaken for a stage key."""
    return secrets.choice(first) + "".join(secrets.choice(SIGNS) for _ in range(5))


def as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def make(folder: Path, first: str) -> Path:
    """A directory nobody else has: same second and same id must not share one."""
    with explained(folder):
        folder.mkdir(mode=0o775, parents=True, exist_ok=True)
        for _ in range(ID_TRIES):
            path = folder / f"{utc_now():%Y%m%dT%H%M%SZ}-{new_id(first)}"
            try:
                point("mkdir", "run")
                os.mkdir(path, 0o775)
                return path
            except FileExistsError:
                continue
    raise StoreError(Fault(shown(folder), f"{ID_TRIES} new names were all taken", do="look at the clock"))


class Record:
    """A directory with a lock and one JSON document, `data`, that says how things stand. Use `open`."""

    FILE = RESULTS
    FIRST = LETTERS

    def __init__(self, runs: Path, path: Path, lock: Lock, *, continued: bool) -> None:
        self.runs, self.path, self.continued = runs, path, continued
        self.id = run_id(path)
        self.data: dict[str, Any] = {}
        self._lock = lock
        self._lines: dict[str, Lines] = {}

    @classmethod
    def _open(cls, runs: Path, name: str, digest: str, sweep: str, among: Sequence[Path] | None) -> Self:
        """The newest unfinished directory of this digest that nobody works on, else a new one; its lock is held.
        A run that a sweep has begun is that sweep's, also while it waits in a queue."""
        for path in reversed(folders(runs) if among is None else among):
            if path.parent.name == name and unfinished(path / cls.FILE, digest, sweep):
                lock = Lock(path / ".lock")
                if lock.take(shown(path), tries=1):
                    if unfinished(path / cls.FILE, digest, sweep):
                        return cls(runs, path, lock, continued=True)
                    lock.release()
        path = make(runs / check_name(name, "run name"), cls.FIRST)
        lock = Lock(path / ".lock")
        lock.take(shown(path))
        return cls(runs, path, lock, continued=False)

    def _begin(self, head: Mapping[str, Any], sweep: str = "") -> None:
        before = read_json(self.path / self.FILE) or {}
        now = {"id": self.id, "status": "running", "code": None, "started": iso(utc_now()), "ended": None}
        self.data = {**now, **head, **{key: before[key] for key in ("started",) if key in before}}
        self._save()
        append_order(self.runs, self.path, sweep)

    def _save(self, *, durable: bool = False) -> None:
        put(self.path / self.FILE, self._text(), durable=durable)

    def _text(self) -> bytes:
        return as_json(self.data)

    def update(self, changes: Mapping[str, Any]) -> None:
        """Changes top-level entries of the document and writes it. Raises ValueError on NaN."""
        self.data = {**self.data, **changes}
        self._save()

    def write(self, name: str, content: str | bytes) -> Path:
        """Writes one file of the directory, whole or not at all; returns its path. It holds nothing that the store or
        the same words would not give again, so only the end of a run waits for the disk."""
        data = content if isinstance(content, bytes) else content.encode("utf-8", "replace")
        path = self.path / check_name(name, "file")
        put(path, data, durable=False)
        return path

    def write_json(self, name: str, value: Any) -> Path:
        """`write` of readable JSON."""
        return self.write(name, as_json(value))

    def append(self, row: Mapping[str, Any], name: str = "rows.jsonl") -> None:
        """Adds one row to a .jsonl file, whole or not at all."""
        line = json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n"
        self._open_lines(name).append(line.encode("utf-8", "replace"))

    def log(self, text: str) -> None:
        """Adds lines to log.txt, with the time, without control characters and secrets in URLs."""
        stamp = utc_now().strftime("%H:%M:%SZ")
        for line in text.splitlines():
            self._open_lines("log.txt").append(f"{stamp} {safe(hide_places(line))}\n".encode("utf-8", "replace"))

    def log_error(self, error: BaseException) -> None:
        """Adds the traceback to log.txt: without values of variables, which may hold secrets."""
        import traceback

        self.log("".join(traceback.format_exception(error)))

    def _open_lines(self, name: str) -> Lines:
        if name not in self._lines:
            self._lines[name] = Lines(self.path / check_name(name, "file"))
        return self._lines[name]

    def link(self, name: str, target: Path, folder: str = "checkpoints") -> Path:
        """Makes `folder/name` a relative link to `target`, in one step: runs/ stays movable."""
        home = self.path / check_name(folder, "folder")
        make_folder(home)
        path, tmp = home / check_name(name, "link"), home / f".tmp.{secrets.token_hex(4)}"
        with explained(path):
            os.symlink(os.path.relpath(target.resolve(), home.resolve()), tmp)
            point("rename", name)
            os.replace(tmp, path)
        return path

    def close(self, status: str, code: int) -> None:
        """The end of the work: status done, failed or interrupted, with the exit code; gives up the lock."""
        self.data = {**self.data, "status": status, "code": code, "ended": iso(utc_now())}
        self._save(durable=True)
        self.release()

    def release(self) -> None:
        """Gives up the lock without a word: the directory then reads as died."""
        for lines in self._lines.values():
            lines.close()
        self._lines = {}
        self._lock.release()


_DONE: set[Path] = set()  # documents that this process saw done: they stay so, and a sweep asks for each of its runs


def unfinished(path: Path, digest: str, sweep: str = "") -> bool:
    """Whether the document at `path` is of this digest and sweep, and not done."""
    if path in _DONE:
        return False
    found = read_json(path) or {"status": "none"}
    if found["status"] == "done":
        _DONE.add(path)
    if found["status"] in ("done", "none"):
        return False
    return found.get("digest") == digest and (found.get("sweep") or "") == sweep


class RunDir(Record):
    """One run's directory, locked. `data` is results.json."""

    @classmethod
    def open(
        cls,
        runs: Path,
        name: str,
        digest: str,
        *,
        words: Sequence[str],
        config: Mapping[str, Any],
        config_text: str,
        choices: Mapping[str, str],
        argv: Sequence[str] = (),
        sweep: str = "",
        among: Sequence[Path] | None = None,
    ) -> Self:
        """The directory to work in: the same command continues its newest unfinished one, else a new one is made.

        `digest` is the sha256 of the resolved configuration and plugins; `config_text` becomes config.yaml. A run of a
        sweep names its id; where its ledger knows `among` which directories to look, no other is read. Raises
        StoreError or ResourceError if it cannot be written."""
        run = cls._open(runs, name, digest, sweep, among)
        shown_words = hide_secrets(words)
        run.write("config.yaml", hide_places(config_text))
        run.write("overrides.txt", "transfer run " + " ".join(shown_words) + "\n")
        run.write_json("env.json", env(argv))
        head = {"schema": "results/2", "name": name, "digest": digest, "sweep": sweep or None, "words": shown_words}
        shown_config = {"choices": dict(choices), "config": scrub(dict(config))}
        empty: dict[str, Any] = {
            "stages": [],
            "metrics": {},
            "headline": None,
            "cost": {},
            "fingerprints": {},
            "notes": [],
        }
        run._begin({**head, **shown_config, **empty, "versions": versions(), "identity": {}}, sweep)
        return run
