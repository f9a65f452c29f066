"""What a data set consists of, as a hash: sha256 of files, remembered by (path, size, mtime_ns)."""

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

# A file changed less than this before it was read could change again within one tick of the clock: hash it anew.
SETTLED_NS = 2_000_000_000


def digests(sources: Iterable[Path], cache: Path) -> dict[Path, str]:
    """sha256 (hex) of every source, remembered by (path, size, mtime_ns). DataError if one cannot be read."""
    files = {path: os.path.abspath(path) for path in sources}
    book = cache / "fingerprints" / (name_of(files.values()) + ".json")
    known = _read(book)
    found = {name: _entry(path, *_stamp(path), known.get(name)) for path, name in files.items()}
    if found != known:
        with suppress(ResourceError):  # only a memory: where nothing can be written, files are hashed each time
            put(book, lambda tmp: tmp.write_text(json.dumps(_settled(found))))
    return {path: str(found[name][2]) for path, name in files.items()}


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


def _settled(found: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    now = time.time_ns()
    return {path: entry for path, entry in found.items() if now - entry[1] > SETTLED_NS}


def _read(book: Path) -> dict[str, Any]:
    try:
        known = json.loads(book.read_bytes())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def fingerprint(raw: Raw, settings: Mapping[str, Any]) -> str:
    """sha256 of the content: the family's settings, classes, the bytes of all sources in order, and the labels and
    targets of every part (in a folder they are no file's bytes). Where the files lie (`path`) does not count, nor how
    the domains were asked for."""
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
