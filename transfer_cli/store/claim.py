"""A claimed stage directory: the one process that may write it.

Resume files carry their own hash in their name and stand alone, so any one that matches its name is whole."""

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
BIG = 1_000_000  # bytes from which a file is worth a look at the free space first


class Claim:
    """What the holder of a stage's lock may do with its directory. Made by `Store.claim`, closed by it.

    `state` is what was found under the lock: "done", "failed", "partial" or "absent"."""

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
        """Temporary files of a killed writer: safe to remove, for the claim is exclusive."""
        for name in self._names():
            if ".tmp." in name:
                remove(self.dir / name)

    def _settle(self) -> str:
        """The state of the directory; a finished stage is tidied, an invalid commit finished or taken back."""
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
        """Writes one file of the result, whole or not at all; it will be in the manifest. ResourceError, StoreError."""
        if len(data) >= BIG:
            check_space(self.dir, len(data))
        put(self.dir / check_name(name, "file"), data)
        self._manifest[name] = (len(data), sha256(data).hexdigest())

    def written(self, name: str) -> tuple[int, str]:
        """Size and sha256 of a file that this claim has put."""
        return self._manifest[name]

    def take_up(self, name: str, size: int, digest: str) -> bool:
        """Makes a file that was put before a resume part of the result again; False if it is not as it was written."""
        try:
            data = read_file(self.dir / check_name(name, "file"))
        except FileNotFoundError:
            return False
        if (len(data), sha256(data).hexdigest()) != (size, digest):
            return False
        self._manifest[name] = (size, digest)
        return True

    def put_json(self, name: str, value: Any) -> None:
        """`put` of canonical JSON: same value, same bytes."""
        self.put(name, canonical(value) + b"\n")

    def identity(self) -> dict[str, Any] | None:
        """The identity class under which this directory was begun, or None: read it before writing stage.json."""
        return stored_identity(self.dir)

    def _open(self, name: str) -> Lines:
        if name not in self._lines:
            self._lines[name] = Lines(self.dir / name)
        return self._lines[name]

    def append(self, line: bytes) -> None:
        """Adds one line to rows.jsonl: deterministic rows, part of the result."""
        self._open(ROWS).append(line)

    def append_timing(self, line: bytes) -> None:
        """Adds one line to timing.jsonl: wall-clock rows, not part of the result."""
        self._open(TIMING).append(line)

    def rows_state(self) -> tuple[int, str]:
        """Bytes of rows.jsonl and their sha256: a resume file records them."""
        return self._open(ROWS).state()

    def rows(self) -> bytes:
        """The rows written so far, also those from before a resume."""
        self._open(ROWS)
        return read_file(self.dir / ROWS)

    def truncate_rows(self, nbytes: int = 0, digest: str = sha256(b"").hexdigest()) -> bool:
        """Cuts rows.jsonl to what a resume file recorded; without arguments, to nothing. False: the prefix differs,
        that resume file cannot be used."""
        return self._open(ROWS).cut(nbytes, digest)

    def resume(self) -> Iterator[tuple[int, bytes]]:
        """Resume files (step, bytes), newest first, those that match their hash. Take one and leave the loop: asking
        for the next says that this one cannot be used. What cannot be used goes to quarantine, with a warning.
        The step is the name's, which somebody may have changed; the one inside the file is covered by the hash."""
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
        found = [(name, match) for name in self._names() if (match := RESUME.fullmatch(name))]
        return sorted(((name, int(m[1]), m[2]) for name, m in found), key=lambda file: (file[1], file[0]), reverse=True)

    def newest_step(self) -> int:
        """Step of the newest resume file, whole or not; 0 without one."""
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
        """Saves the state after `step` steps: rows first, for the file speaks of them; older files go only when it is
        on the disk. Raises ResourceError, and the older files stay valid."""
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
        """Commits the stage: everything put and the rows belong to it, resume files go, the rest becomes read-only."""
        if ROWS in self._lines:
            self._lines[ROWS].sync()
            self._manifest[ROWS] = self._lines[ROWS].state()
        self.close()
        commit(self.dir, self._manifest)
        self.state = "done"

    def fail(self, info: dict[str, Any]) -> None:
        """Records a failure that would happen again (divergence), so that nobody repeats it by accident."""
        put(self.dir / FAILED, canonical(info) + b"\n")
        self.state = "failed"

    def start_over(self) -> None:
        """Forgets what the directory holds, also a result: for --no-cache, --retry-failed, data changed in flight."""
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
    """`identity` of a stage.json, or None."""
    try:
        return {"processes": 1, **json.loads(read_file(folder / "stage.json"))["identity"]}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def other_class(name: str, change: str) -> StoreError:
    """The error of --strict-identity for a stage begun or computed in another identity class."""
    return StoreError(Fault(name, f"is of another identity class: {change}", do="--no-cache computes it anew"))


def identity_change(now: dict[str, Any], before: dict[str, Any] | None) -> str | None:
    """What differs between two identity classes, `torch 2.15 (was 2.14.1)`, or None: then numbers are the same bits.

    >>> identity_change({"torch": "2.15", "threads": 2}, {"torch": "2.14.1", "threads": 2})
    'torch 2.15 (was 2.14.1)'"""
    if before is None or before == now:
        return None
    names = sorted(name for name in {*now, *before} if now.get(name) != before.get(name))
    return ", ".join(f"{name} {now.get(name)} (was {before.get(name)})" for name in names)
