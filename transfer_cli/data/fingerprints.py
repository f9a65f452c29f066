"""Fingerprints of data sets: sha256 of files, cached by (path, size, mtime_ns)."""

import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import numpy as np

from transfer_cli.data.array_cache import name_of, put
from transfer_cli.data.contracts import Raw, bad_file
from transfer_cli.errors import ResourceError

# A file modified less than this before it was read may change again without a new mtime, so its hash is not cached.
SETTLED_NS = 2_000_000_000


def digests(sources: Iterable[Path], cache: Path) -> dict[Path, str]:
    """sha256 (hex) of every source file, cached by (path, size, mtime_ns). Raises DataError if a file cannot be
    read."""
    files = {path: os.path.abspath(path) for path in sources}
    record = cache / "fingerprints" / (name_of(files.values()) + ".json")
    known = _read(record)
    entries = {name: _entry(path, *_stamp(path), known.get(name)) for path, name in files.items()}
    if entries != known:
        with suppress(ResourceError):  # only a cache: without write permission, files are hashed each time
            put(record, lambda tmp: tmp.write_text(json.dumps(_settled(entries))))
    return {path: str(entries[name][2]) for path, name in files.items()}


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError as error:
        raise bad_file(path, (error.strerror or "unreadable").lower()) from None
    return stat.st_size, stat.st_mtime_ns


def _entry(path: Path, size: int, mtime: int, known: Any) -> list[Any]:
    if isinstance(known, list) and known[:2] == [size, mtime]:
        return known
    try:
        with path.open("rb") as file:
            return [size, mtime, file_digest(file, "sha256").hexdigest()]
    except OSError as error:
        raise bad_file(path, (error.strerror or "unreadable").lower()) from None


def _settled(entries: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    now = time.time_ns()
    return {path: entry for path, entry in entries.items() if now - entry[1] > SETTLED_NS}


def _read(record: Path) -> dict[str, Any]:
    try:
        known = json.loads(record.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def fingerprint(raw: Raw, settings: Mapping[str, Any]) -> str:
    """sha256 (hex) of the content: the settings of the reader, classes, the bytes of all sources in order, and the
    labels and targets of every part (in a folder data set no file contains them). The location of the files (`path`)
    and the form of the key `domain` are excluded."""
    own = {key: value for key, value in settings.items() if key not in ("path", "domain")}
    facts = [
        own,
        raw.flip,
        raw.classes,
        [raw.digests[path] for path in raw.sources],
        *([raw.domains] * bool(raw.domains)),
        *([raw.targets] * bool(raw.targets)),
    ]
    digest = sha256(json.dumps(facts, sort_keys=True).encode())
    for part, rows in sorted(raw.parts.items()):
        digest.update(part.encode() + rows.labels.astype("<i8").tobytes())
        if rows.domains is not None:
            digest.update(rows.domains.astype("<i8").tobytes())
        for target in [rows.targets] if isinstance(rows.targets, np.ndarray) else rows.targets or ():
            digest.update(b"%d:" % len(target) + np.ascontiguousarray(target).tobytes())
    return digest.hexdigest()
