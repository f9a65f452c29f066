"""A claimed stage directory and what the one process that holds the claim may write into it.

The name of a resume file contains the hash of its content, so a file whose content matches its name is complete."""

import json
import re
import secrets
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from transfer_cli.errors import Fault, StoreError
from transfer_cli.safe import check_name
from transfer_cli.store.commit import (
    DONE,
    FAILED,
    MANIFEST,
    RESUME,
    Manifest,
    canonical,
    commit,
    is_done,
    is_leftover,
    is_tidy,
    recommit,
    remove,
    tidy,
    withdraw,
)
from transfer_cli.store.disk import Lines, make_folder, put, read_file, sync_folder
from transfer_cli.store.diskerrors import check_space, explained, point

ROWS, TIMING = "rows.jsonl", "timing.jsonl"
KEPT_RESUME_FILES = 2
BIG = 1_000_000  # bytes; for files of this size or more, free space is checked before writing


class Claim:
    """Write access to a stage directory for the holder of its lock. `Store.claim` creates and closes it.

    `state` is the state of the directory when the lock was taken: "done", "failed", "partial" or "absent"."""

    def __init__(self, key: str, folder: Path, talk: Callable[[str], None]) -> None:
        self.key, self.dir = key, folder
        self._talk = talk
        self._manifest: Manifest = {}
        self._lines: dict[str, Lines] = {}
        make_folder(folder)
        self._sweep_out()
        self.state = self._settle()

    def _names(self) -> list[str]:
        with explained(self.dir):
            return sorted(path.name for path in self.dir.iterdir())

    def _sweep_out(self) -> None:
        """Removes temporary files of a killed writer. This is safe because the claim is exclusive."""
        for name in self._names():
            if ".tmp." in name:
                remove(self.dir / name)

    def _settle(self) -> str:
        """Returns the state of the directory. Tidies a finished stage; completes or withdraws an invalid commit."""
        names = self._names()
        if is_done(self.dir):
            if not is_tidy(self.dir):
                tidy(self.dir)
            return "done"
        if DONE in names:
            self._talk(f"warning: stage {self.key[:12]} has an invalid DONE")
        if MANIFEST in names and recommit(self.dir):
            return "done"
        if DONE in names or MANIFEST in names:
            withdraw(self.dir)
        if FAILED in names:
            return "failed"
        return "partial" if set(names) - {DONE, MANIFEST} else "absent"

    def put(self, name: str, data: bytes) -> None:
        """Writes one result file completely or not at all, and adds it to the manifest.

        Raises ResourceError on a full disk or a limit, StoreError on other I/O errors."""
        if len(data) >= BIG:
            check_space(self.dir, len(data))
        put(self.dir / check_name(name, "file"), data)
        self._manifest[name] = (len(data), sha256(data).hexdigest())

    def written(self, name: str) -> tuple[int, str]:
        """Size in bytes and sha256 of a file that this claim has written with `put`."""
        return self._manifest[name]

    def take_up(self, name: str, size: int, digest: str) -> bool:
        """Adds a file written before an interruption to the result again. Returns False if the file is missing or its
        size or hash differs."""
        try:
            data = read_file(self.dir / check_name(name, "file"))
        except FileNotFoundError:
            return False
        if (len(data), sha256(data).hexdigest()) != (size, digest):
            return False
        self._manifest[name] = (size, digest)
        return True

    def put_json(self, name: str, value: Any) -> None:
        """Writes `value` as canonical JSON with `put`: the same value gives the same bytes."""
        self.put(name, canonical(value) + b"\n")

    def identity(self) -> dict[str, Any] | None:
        """The identity class under which work in this directory started, or None. Read it before writing stage.json."""
        return stored_identity(self.dir)

    def _open(self, name: str) -> Lines:
        if name not in self._lines:
            self._lines[name] = Lines(self.dir / name)
        return self._lines[name]

    def append(self, line: bytes) -> None:
        """Appends one line to rows.jsonl: deterministic rows, which are part of the result."""
        self._open(ROWS).append(line)

    def append_timing(self, line: bytes) -> None:
        """Appends one line to timing.jsonl: wall-clock rows, which are not part of the result."""
        self._open(TIMING).append(line)

    def rows_state(self) -> tuple[int, str]:
        """Size in bytes and sha256 of rows.jsonl. Resume files record both."""
        return self._open(ROWS).state()

    def rows(self) -> bytes:
        """All rows written so far, including those from before an interruption."""
        self._open(ROWS)
        return read_file(self.dir / ROWS)

    def truncate_rows(self, nbytes: int = 0, digest: str = sha256(b"").hexdigest()) -> bool:
        """Truncates rows.jsonl to the size that a resume file recorded; without arguments, to an empty file.

        Returns False if the remaining bytes do not have the recorded hash: that resume file cannot be used."""
        return self._open(ROWS).cut(nbytes, digest)

    def resume(self) -> Iterator[tuple[int, bytes]]:
        """Yields resume files as (step, bytes), newest first, if their content matches their hash.

        Use the first one and leave the loop. Asking for the next one means that this one cannot be used: it is moved to
        quarantine, with a warning. `step` comes from the file name, which somebody may have changed; the step inside
        the file is protected by the hash."""
        unusable: list[int] = []
        for name, step, digest in self._resume_files():
            data = read_file(self.dir / name)
            if sha256(data).hexdigest()[:32] == digest:
                self._warn(unusable, f"using step {step:,}")
                yield step, data
            unusable.append(step)
            self._set_aside(name)
        self._warn(unusable, "starting from step 0")

    def _resume_files(self) -> list[tuple[str, int, str]]:
        matches = [(name, match) for name in self._names() if (match := RESUME.fullmatch(name))]
        files = ((name, int(match[1]), match[2]) for name, match in matches)
        return sorted(files, key=lambda file: (file[1], file[0]), reverse=True)

    def newest_step(self) -> int:
        """Step of the newest resume file, damaged or not; 0 if there is none."""
        return max((step for _, step, _ in self._resume_files()), default=0)

    def _warn(self, steps: list[int], then: str) -> None:
        while steps:
            step = steps.pop(0)
            self._talk(f"warning: resume file for step {step:,} is damaged (kept in .quarantine), {then}")

    def _set_aside(self, name: str) -> None:
        target = self.dir.parent / ".quarantine" / f"{self.key}-{name}.{secrets.token_hex(4)}"
        with explained(target):
            point("rename", name)
            (self.dir / name).rename(target)
        sync_folder(self.dir)

    def save_resume(self, step: int, data: bytes) -> None:
        """Saves the state after `step` steps.

        Rows are synced first, because the resume file records their hash. Older files are removed only when the new one
        is on disk. Raises ResourceError on a full disk; older files are still valid then."""
        if ROWS in self._lines:
            self._lines[ROWS].sync()
        check_space(self.dir, len(data))
        new = f"resume-{step:08d}-{sha256(data).hexdigest()[:32]}.safetensors"
        put(self.dir / new, data)
        older = [name for name, at, _ in self._resume_files() if at < step]
        keep = {new, *older[: KEPT_RESUME_FILES - 1]}
        for name, _, _ in self._resume_files():
            if name not in keep:
                remove(self.dir / name)

    def finish(self) -> None:
        """Commits the stage: all files written with `put`, and the rows. Resume files are removed, the rest becomes
        read-only."""
        if ROWS in self._lines:
            self._lines[ROWS].sync()
            self._manifest[ROWS] = self._lines[ROWS].state()
        self.close()
        commit(self.dir, self._manifest)
        self.state = "done"

    def fail(self, info: dict[str, Any]) -> None:
        """Records a failure that would happen again, such as divergence, so that the stage is not repeated by
        accident."""
        put(self.dir / FAILED, canonical(info) + b"\n")
        self.state = "failed"

    def start_over(self) -> None:
        """Deletes all files of the stage, including a finished result. Used for --no-cache, for --retry-failed, and
        when the data changed during the run."""
        self.close()
        withdraw(self.dir)
        for name in self._names():
            if re.fullmatch(r"[\w.-]+\.(json|jsonl|safetensors)", name) or is_leftover(name):
                remove(self.dir / name)
        self._manifest, self.state = {}, "absent"

    def close(self) -> None:
        for lines in self._lines.values():
            lines.close()
        self._lines = {}


def stored_identity(folder: Path) -> dict[str, Any] | None:
    """The entry `identity` of stage.json, or None if it cannot be read."""
    try:
        return {"processes": 1, **json.loads(read_file(folder / "stage.json"))["identity"]}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def other_class(name: str, change: str) -> StoreError:
    """The error of --strict-identity for a stage that was started or computed in another identity class."""
    return StoreError(Fault(name, f"is of another identity class: {change}", do="--no-cache computes it anew"))


def identity_change(now: dict[str, Any], before: dict[str, Any] | None) -> str | None:
    """The difference between two identity classes, such as `torch 2.15 (was 2.14.1)`. None means no difference: results
    are then equal bit by bit.

    >>> identity_change({"torch": "2.15", "threads": 2}, {"torch": "2.14.1", "threads": 2})
    'torch 2.15 (was 2.14.1)'"""
    if before is None or before == now:
        return None
    names = sorted(name for name in {*now, *before} if now.get(name) != before.get(name))
    return ", ".join(f"{name} {now.get(name)} (was {before.get(name)})" for name in names)
