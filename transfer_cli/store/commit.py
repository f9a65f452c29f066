"""The commit record of a stage directory: MANIFEST.json lists its files, DONE marks it as complete.

DONE contains the sha256 of the manifest and is written last, so all listed files are on disk before it exists."""

import json
import os
import re
import stat
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from transfer_cli.errors import Fault, StoreError
from transfer_cli.safe import shown
from transfer_cli.store.disk import put, read_file, sync_folder
from transfer_cli.store.diskerrors import explained, point

MANIFEST, DONE, FAILED = "MANIFEST.json", "DONE", "FAILED.json"
RESUME = re.compile(r"resume-(\d{8,})-([0-9a-f]{32})\.safetensors")
Manifest = dict[str, tuple[int, str]]  # name -> bytes, sha256


def canonical(value: Any) -> bytes:
    """Encodes `value` as JSON; equal values give equal bytes. Raises ValueError on NaN and infinities."""
    return json.dumps(value, sort_keys=True, allow_nan=False).encode()


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest whose hash DONE contains, or None if it is missing, damaged or has another hash. File sizes are not
    checked."""
    try:
        done = read_file(folder / DONE).decode("ascii", "replace").strip()
        data = read_file(folder / MANIFEST)
    except FileNotFoundError:
        return None
    return _parsed(data) if sha256(data).hexdigest() == done else None


def _parsed(data: bytes) -> Manifest | None:
    with suppress(ValueError, TypeError, AttributeError):
        return {str(name): (int(size), str(digest)) for name, (size, digest) in json.loads(data).items()}
    return None


def is_done(folder: Path) -> bool:
    """Whether the stage is finished: DONE is valid and every file has its recorded size. Takes no lock, hashes no
    files."""
    manifest = read_manifest(folder)
    return manifest is not None and all(_size(folder / name) == size for name, (size, _) in manifest.items())


def _size(path: Path) -> int:
    try:
        facts = path.lstat()
    except FileNotFoundError:
        return -1
    if not stat.S_ISREG(facts.st_mode):
        raise StoreError(
            Fault(shown(path), "a link or device, not a file of the store", do="inspect it, then remove it")
        )
    return facts.st_size


def is_whole(folder: Path, manifest: Manifest) -> bool:
    """Whether every file has the hash recorded in the manifest."""
    try:
        return all(sha256(read_file(folder / name)).hexdigest() == digest for name, (_, digest) in manifest.items())
    except FileNotFoundError:
        return False


def commit(folder: Path, manifest: Manifest) -> None:
    """Turns the directory into a finished stage: writes the manifest and DONE, then removes leftovers."""
    data = canonical(manifest) + b"\n"
    put(folder / MANIFEST, data)
    put(folder / DONE, (sha256(data).hexdigest() + "\n").encode())
    tidy(folder)


def recommit(folder: Path) -> bool:
    """Commits a directory whose manifest is correct but whose DONE is missing or wrong. Returns False if it did
    nothing."""
    try:
        data = read_file(folder / MANIFEST)
    except FileNotFoundError:
        return False
    manifest = _parsed(data)
    if not manifest or canonical(manifest) + b"\n" != data or not is_whole(folder, manifest):
        return False
    commit(folder, manifest)
    return True


def withdraw(folder: Path) -> None:
    """Undoes a commit, so that the stage can be written again. The caller must hold the claim."""
    for name in (DONE, MANIFEST):
        remove(folder / name)
    for name, mode in _modes(folder).items():
        os.chmod(folder / name, mode | stat.S_IWUSR)


def _modes(folder: Path) -> dict[str, int]:
    """Regular files and their modes, sorted by name. Symbolic links are neither followed nor listed."""
    with explained(folder), os.scandir(folder) as entries:
        files = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
        return {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in sorted(files, key=lambda e: e.name)}


def remove(path: Path) -> None:
    """Deletes one file of a claimed directory; a missing file is no error."""
    with explained(path), suppress(FileNotFoundError):
        point("unlink", path.name)
        os.unlink(path)


def is_leftover(name: str) -> bool:
    return ".tmp." in name or RESUME.fullmatch(name) is not None


def is_tidy(folder: Path) -> bool:
    """Whether a finished stage has no leftovers and is read-only."""
    return not any(is_leftover(name) or mode & 0o222 for name, mode in _modes(folder).items())


def tidy(folder: Path) -> None:
    """Removes resume and temporary files of a finished stage and makes the rest read-only.

    The caller must hold the claim."""
    for name in _modes(folder):
        if is_leftover(name):
            remove(folder / name)
        else:
            with explained(folder / name):
                point("chmod", name)
                os.chmod(folder / name, 0o444)
    sync_folder(folder)
