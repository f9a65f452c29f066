"""Files of the data cache: written to a temporary name and renamed, mode 0444, never changed. Deleting them is safe."""

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from transfer_cli.errors import Fault, ResourceError


def name_of(parts: Iterable[str]) -> str:
    """The file name, 32 hex digits, of a cache entry with these key parts."""
    return sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]


def put(path: Path, fill: Callable[[Path], Any]) -> None:
    """Calls `fill` with a temporary path, then renames the file to `path`. Raises ResourceError if it cannot be
    written."""
    tmp = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fill(tmp)
        tmp.chmod(0o444)
        tmp.replace(path)
    except OSError as error:
        raise ResourceError(Fault(str(path.parent), f"cannot keep data here: {error.strerror or error}")) from None
    finally:
        with suppress(OSError):
            tmp.unlink()


def remember(cache: Path, key: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array cached under `key`; the first call computes it with `make` and stores it."""
    path = cache / "arrays" / f"{name_of([key])}.npy"
    stored = mapped(path)
    if stored is not None:
        return stored
    array = make()
    put(path, lambda tmp: save(tmp, array))
    return array


def save(tmp: Path, array: np.ndarray) -> None:
    """Writes an array to a new .npy file."""
    with tmp.open("xb") as file:
        np.save(file, array, allow_pickle=False)


def mapped(path: Path) -> np.ndarray | None:
    """The stored array, memory-mapped copy-on-write: torch requires writable memory, and the file does not change.
    None if the file is missing or damaged."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array
