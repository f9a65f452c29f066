"""Disk errors as messages, checks of free space, and the I/O points at which tests inject failures.

The errors name the path, the space needed and the space available. ResourceError (exit code 6), StoreError (5)."""

import errno
import fnmatch
import os
import resource
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from transfer_cli.errors import Fault, ResourceError, StoreError, TransferError
from transfer_cli.safe import shown

RESERVE = 32_000_000  # bytes that stay free for rows, results and logs when a large file is written
_points = 0


def point(name: str, file: str = "") -> None:
    """Marks an I/O point, for tests only: TRANSFER_TEST_CRASH_AT=n kills the process at its n-th point,
    TRANSFER_TEST_FAIL=name:ERRNO or name@file:ERRNO (a glob) makes every matching point fail."""
    global _points
    _points += 1
    if os.environ.get("TRANSFER_TEST_CRASH_AT") == str(_points):
        os.kill(os.getpid(), signal.SIGKILL)
    where, _, code = os.environ.get("TRANSFER_TEST_FAIL", "").rpartition(":")
    if where and fnmatch.fnmatch(f"{name}@{file}", where if "@" in where else f"{where}@*"):
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))


def points() -> int:
    """Number of points that this process has passed. A forked child starts at 0."""
    return _points


def _restart_count() -> None:
    global _points
    _points = 0


os.register_at_fork(after_in_child=_restart_count)


def size_text(nbytes: int) -> str:
    """A number of bytes as text for messages: `52 MB`, where 1 MB = 10^6 bytes."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= scale:
            return f"{nbytes / scale:.1f} {unit}" if nbytes < 10 * scale else f"{nbytes / scale:,.0f} {unit}"
    return f"{nbytes} bytes"


def free_bytes(path: Path) -> int:
    """Bytes that an ordinary user can still write at `path`; 0 if unknown."""
    with suppress(OSError):
        return os.statvfs(path).f_bavail * os.statvfs(path).f_frsize
    return 0


def explain(error: OSError, path: Path, need: int = 0) -> TransferError:
    """The error with a message for an OSError at `path`, when writing `need` bytes."""
    folder = path if path.is_dir() else path.parent
    code = error.errno
    if code in (errno.ENOSPC, errno.EDQUOT):
        what = "no space" if code == errno.ENOSPC else "disk quota"
        text = f"need {size_text(need)}, have {size_text(free_bytes(folder))} at {shown(folder)}"
        return ResourceError(Fault(what, text, do="free space and run again"))
    if code == errno.EFBIG:
        return _file_size_limit(need)
    if code in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN):
        return ResourceError(Fault(shown(path), os.strerror(code), do="close other programs and run again"))
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StoreError(no_permission(folder, "read-only file system" if code == errno.EROFS else ""))
    if code in (errno.ELOOP, errno.EEXIST):
        return StoreError(
            Fault(shown(path), "a file or link that this program did not create", do="inspect it, then remove it")
        )
    return StoreError(Fault(f"I/O error on {shown(path)}", os.strerror(code) if code else str(error)))


def no_permission(folder: Path, why: str = "") -> Fault:
    """The fault of a folder that cannot be written: its mode, and whether it belongs to another user."""
    text = why or "permission denied"
    with suppress(OSError):  # the parent folder may forbid even reading the mode
        facts = folder.stat()
        other = ", other owner" if facts.st_uid != os.geteuid() else ""
        text = why or f"permission denied (mode {stat.S_IMODE(facts.st_mode):o}{other})"
    return Fault(f"cannot write to {shown(folder)}", text, do="choose another directory with --runs DIR")


def _file_size_limit(need: int) -> ResourceError:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return ResourceError(Fault("file size limit (RLIMIT_FSIZE)", f"{size_text(limit)} < {size_text(need)}"))


@contextmanager
def explained(path: Path, need: int = 0) -> Iterator[None]:
    """Converts any OSError raised in the block into a TransferError that says what to do."""
    try:
        yield
    except OSError as error:
        raise explain(error, path, need) from error


def check_space(folder: Path, nbytes: int) -> None:
    """Raises ResourceError unless `nbytes` and a reserve fit on the disk, before a partial file is written."""
    need, have = int(1.2 * nbytes) + RESERVE, free_bytes(folder)
    if have < need:
        text = f"need {size_text(need)}, have {size_text(have)} at {shown(folder)}"
        raise ResourceError(Fault("no space", text, do="free space and run again"))
    if 0 <= resource.getrlimit(resource.RLIMIT_FSIZE)[0] < nbytes:  # negative: no limit
        raise _file_size_limit(nbytes)
