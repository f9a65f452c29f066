"""The directory of a run, written for users and for compare: `runs/<strategy>-<data>/<UTC time>-<id>/`.

Owns every path under runs/ except the store. results.json exists from the start and holds the state of the run; the
run's lock is held while a process works on it. runs.py reads directories back; sweepdir.py owns those of sweeps."""

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

LETTERS = "abcdefghjkmnpqrtvwxyz"  # first letters of run ids: no i, l, o, u; only ids of sweeps begin with s
SIGNS = "0123456789abcdefghjkmnpqrstvwxyz"  # the other characters of an id
ID_TRIES = 16


def utc_now() -> datetime:
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """`2026-11-22T10:15:02Z`"""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def new_id(first: str = LETTERS) -> str:
    """A letter and five digits or letters. It cannot be read as a number or mistaken for the key of a stage."""
    return secrets.choice(first) + "".join(secrets.choice(SIGNS) for _ in range(5))


def as_json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def new_directory(folder: Path, first: str) -> Path:
    """Creates a directory for one run or sweep, whose id begins with a letter of `first`. Two processes never share
    one, even if they draw the same id in the same second. Raises StoreError or ResourceError."""
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
    """A directory with a lock and one JSON document, `data`, that holds its state. `open` creates instances."""

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
        """The newest unfinished directory of this digest on which no process works, else a new one; its lock is held.
        A run that a sweep started belongs to that sweep, even while it waits in a queue."""
        for path in reversed(folders(runs) if among is None else among):
            if path.parent.name == name and unfinished(path / cls.FILE, digest, sweep):
                lock = Lock(path / ".lock")
                if lock.take(shown(path), tries=1):
                    if unfinished(path / cls.FILE, digest, sweep):
                        return cls(runs, path, lock, continued=True)
                    lock.release()
        path = new_directory(runs / check_name(name, "run name"), cls.FIRST)
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
        """Changes top-level entries of the document and writes the document. Raises ValueError on NaN."""
        self.data = {**self.data, **changes}
        self._save()

    def write(self, name: str, content: str | bytes) -> Path:
        """Writes one file of the directory atomically; returns its path. The write is not flushed to disk, because the
        file can be computed again from the store or from the same words; only `close` flushes."""
        data = content if isinstance(content, bytes) else content.encode("utf-8", "replace")
        path = self.path / check_name(name, "file")
        put(path, data, durable=False)
        return path

    def write_json(self, name: str, value: Any) -> Path:
        """Writes a value as indented JSON, as `write` does."""
        return self.write(name, as_json(value))

    def append(self, row: Mapping[str, Any], name: str = "rows.jsonl") -> None:
        """Appends one row to a .jsonl file atomically. Raises ValueError on NaN."""
        line = json.dumps(row, allow_nan=False, ensure_ascii=False) + "\n"
        self._open_lines(name).append(line.encode("utf-8", "replace"))

    def log(self, text: str) -> None:
        """Appends lines to log.txt, each with the time. Control characters and secrets in URLs are removed."""
        stamp = utc_now().strftime("%H:%M:%SZ")
        for line in text.splitlines():
            self._open_lines("log.txt").append(f"{stamp} {safe(hide_places(line))}\n".encode("utf-8", "replace"))

    def log_error(self, error: BaseException) -> None:
        """Appends the traceback to log.txt, without the values of variables, which may be secret."""
        import traceback

        self.log("".join(traceback.format_exception(error)))

    def _open_lines(self, name: str) -> Lines:
        if name not in self._lines:
            self._lines[name] = Lines(self.path / check_name(name, "file"))
        return self._lines[name]

    def link(self, name: str, target: Path, folder: str = "checkpoints") -> Path:
        """Creates or replaces the link `folder/name` to `target`, atomically; returns its path. The link is relative,
        so runs/ can be moved."""
        home = self.path / check_name(folder, "folder")
        make_folder(home)
        path, tmp = home / check_name(name, "link"), home / f".tmp.{secrets.token_hex(4)}"
        with explained(path):
            os.symlink(os.path.relpath(target.resolve(), home.resolve()), tmp)
            point("rename", name)
            os.replace(tmp, path)
        return path

    def close(self, status: str, code: int) -> None:
        """Writes the final status (done, failed or interrupted) and the exit code, and releases the lock."""
        self.data = {**self.data, "status": status, "code": code, "ended": iso(utc_now())}
        self._save(durable=True)
        self.release()

    def release(self) -> None:
        """Releases the lock without a final status: the directory is then shown as `died`."""
        for lines in self._lines.values():
            lines.close()
        self._lines = {}
        self._lock.release()


# documents that this process has read as done: they never change again, and a sweep asks about each of its runs
_DONE: set[Path] = set()


def unfinished(path: Path, digest: str, sweep: str = "") -> bool:
    """Whether the document at `path` has this digest and sweep and is not done."""
    if path in _DONE:
        return False
    document = read_json(path) or {"status": "none"}
    if document["status"] == "done":
        _DONE.add(path)
    if document["status"] in ("done", "none"):
        return False
    return document.get("digest") == digest and (document.get("sweep") or "") == sweep


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
        """The directory to work in: the newest unfinished one of the same command, else a new one.

        `digest` is the sha256 of the resolved configuration and plugins; `config_text` becomes config.yaml. `sweep` is
        the id of the run's sweep. `among`: the only directories to search, where the ledger of the sweep lists them.
        Raises StoreError or ResourceError if the directory cannot be written."""
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
