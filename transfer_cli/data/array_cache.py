"""Files of the cache: written beside their name and renamed, mode 0444, never changed, free to delete at any time."""

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
    return sha256("\n".join(parts).encode(errors="surrogateescape")).hexdigest()[:32]


def put(path: Path, fill: Callable[[Path], Any]) -> None:
    """Let `fill` write a temporary file, then give it its name. No space is a ResourceError."""
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
    """The array stored under `key`, made by `make` the first time."""
    path = cache / "arrays" / f"{name_of([key])}.npy"
    stored = mapped(path)
    if stored is not None:
        return stored
    made = make()
    put(path, lambda tmp: save(tmp, made))
    return made


def save(tmp: Path, array: np.ndarray) -> None:
    with tmp.open("xb") as file:
        np.save(file, array, allow_pickle=False)


def mapped(path: Path) -> np.ndarray | None:
    """The stored array, mapped copy-on-write (torch wants writable memory; the file stays as it is); None if absent
    or damaged."""
    try:
        array: np.ndarray = np.load(path, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array
