"""Writing so that a kill or a full disk at any instant leaves the old file or the new one, never half of one.

Owns `put`, growing files, and the translation of OSError into messages. Knows nothing of stages or runs.
Each syscall that matters stands behind a `point`, where tests kill the process or make the call fail."""

import errno
import fnmatch
import os
import resource
import secrets
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from transfer_cli.errors import Fault, ResourceError, StoreError, TransferError
from transfer_cli.safe import shown

NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
RESERVE = 32_000_000  # bytes left free for rows, results and logs beside a big file
_points = 0


def point(name: str, file: str = "") -> None:
    """An I/O point. Tests only: TRANSFER_TEST_CRASH_AT=n kills the process at its n-th point,
    TRANSFER_TEST_FAIL=name:ERRNO or name@file:ERRNO (a glob) makes every such point fail."""
    global _points
    _points += 1
    if os.environ.get("TRANSFER_TEST_CRASH_AT") == str(_points):
        os.kill(os.getpid(), signal.SIGKILL)
    where, _, code = os.environ.get("TRANSFER_TEST_FAIL", "").rpartition(":")
    if where and fnmatch.fnmatch(f"{name}@{file}", where if "@" in where else f"{where}@*"):
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))


def points() -> int:
    """How many points this process has passed; a forked child starts at 0."""
    return _points


def _restart_count() -> None:
    global _points
    _points = 0


os.register_at_fork(after_in_child=_restart_count)


def size_text(nbytes: int) -> str:
    """Bytes for a message: `52 MB`, MB = 10^6."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= scale:
            return f"{nbytes / scale:.1f} {unit}" if nbytes < 10 * scale else f"{nbytes / scale:,.0f} {unit}"
    return f"{nbytes} bytes"


def free_bytes(path: Path) -> int:
    """Bytes an ordinary user may still write at `path`, or 0 if nobody can tell."""
    with suppress(OSError):
        return os.statvfs(path).f_bavail * os.statvfs(path).f_frsize
    return 0


def explain(error: OSError, path: Path, need: int = 0) -> TransferError:
    """The message for an OSError at `path`, where `need` bytes were to be written."""
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
        return StoreError(Fault(shown(path), "a file or link that this program did not make", do="look at it, remove"))
    return StoreError(Fault(f"I/O error on {shown(path)}", os.strerror(code) if code else str(error)))


def no_permission(folder: Path, why: str = "") -> Fault:
    """The fault of a folder that cannot be written: mode, and whether it belongs to somebody else."""
    text = why or "permission denied"
    with suppress(OSError):  # the folder above may forbid even to look
        facts = folder.stat()
        other = ", other owner" if facts.st_uid != os.geteuid() else ""
        text = why or f"permission denied (mode {stat.S_IMODE(facts.st_mode):o}{other})"
    return Fault(f"cannot write to {shown(folder)}", text, do="choose another directory with --runs DIR")


def _file_size_limit(need: int) -> ResourceError:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return ResourceError(Fault("file size limit (RLIMIT_FSIZE)", f"{size_text(limit)} < {size_text(need)}"))


@contextmanager
def explained(path: Path, need: int = 0) -> Iterator[None]:
    """Turns any OSError inside into the TransferError that says what to do."""
    try:
        yield
    except OSError as error:
        raise explain(error, path, need) from error


def check_space(folder: Path, nbytes: int) -> None:
    """Raises ResourceError unless `nbytes` fit with something to spare: cheaper than half a file."""
    need, have = int(1.2 * nbytes) + RESERVE, free_bytes(folder)
    if have < need:
        text = f"need {size_text(need)}, have {size_text(have)} at {shown(folder)}"
        raise ResourceError(Fault("no space", text, do="free space and run again"))
    if 0 <= resource.getrlimit(resource.RLIMIT_FSIZE)[0] < nbytes:  # negative: no limit
        raise _file_size_limit(nbytes)


def write_all(fd: int, data: bytes, name: str) -> None:
    """Own loop, because a write may be short; two calls at least, so that a crash point falls inside."""
    rest = memoryview(data)
    half = min(8 << 20, len(data) // 2 + 1)
    while rest:
        rest = rest[os.write(fd, rest[:half]) :]
        point("write", name)


def sync_folder(folder: Path) -> None:
    """fsync of a directory: makes names in it durable."""
    point("fsync_dir", folder.name)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def put(path: Path, data: bytes) -> None:
    """Makes `path` hold `data`, durably, or leaves what was there: temporary file, fsync, rename, fsync of the folder.

    Raises ResourceError on a full disk or a limit, StoreError on all else; the temporary file is gone then."""
    tmp = path.with_name(f"{path.name}.tmp.{secrets.token_hex(4)}")
    with explained(path, len(data)):
        if path.is_symlink():
            raise OSError(errno.ELOOP, "link")  # a rename would replace it, but nobody of us made it
        point("open", path.name)
        fd = os.open(tmp, os.O_WRONLY | NEW, 0o666)
        try:
            _fill(fd, data, path.name)
            point("rename", path.name)
            os.replace(tmp, path)
        except OSError:
            # after a failed fsync the kernel may call lost pages clean: never retry, drop the file
            with suppress(OSError):
                os.unlink(tmp)
            raise
        sync_folder(path.parent)


def _fill(fd: int, data: bytes, name: str) -> None:
    try:
        write_all(fd, data, name)
        point("fsync", name)
        os.fsync(fd)
    finally:
        os.close(fd)


def read_file(path: Path) -> bytes:
    """The bytes of a regular file. Raises FileNotFoundError if there is none, StoreError if it is a link or device."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise explain(error, path) from error
    with explained(path), os.fdopen(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.ELOOP, "not a regular file")
        point("read", path.name)
        return file.read()


def check_folder(path: Path) -> None:
    """Raises StoreError unless `path` is a real directory of this user which others cannot write."""
    with explained(path):
        facts = path.lstat()
    if not stat.S_ISDIR(facts.st_mode):
        text = "a symbolic link, not a directory" if stat.S_ISLNK(facts.st_mode) else "not a directory"
        raise StoreError(Fault(shown(path), text, do="name the real directory with --runs DIR"))
    if facts.st_uid != os.geteuid():
        raise StoreError(Fault(shown(path), "belongs to another user", do="choose another directory with --runs DIR"))
    if facts.st_mode & stat.S_IWOTH:
        raise StoreError(Fault(shown(path), "can be written by everybody", do=f"chmod o-w {shown(path)}"))


def make_folder(path: Path) -> None:
    """A directory of ours: made if it is not there (never for all to write, whatever the umask), checked if it is."""
    with explained(path):
        point("mkdir", path.name)
        with suppress(FileExistsError):
            os.mkdir(path, 0o775)
            sync_folder(path.parent)
    check_folder(path)


class Lines:
    """A file that only grows, one `os.write` a line. One writer; a last line without its end is cut off on opening.

    Keeps the size and hash of what is there, so that a checkpoint can say how far the file belonged to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with explained(path):
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o666)
            data = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
            whole = data[: data.rfind(b"\n") + 1]
            self._cut(whole)

    def _cut(self, kept: bytes) -> None:
        self.size, self._hash = len(kept), sha256(kept)
        if os.fstat(self._fd).st_size != self.size:
            point("truncate", self.path.name)
            os.ftruncate(self._fd, self.size)

    def append(self, line: bytes) -> None:
        """Adds `line`, which ends in a newline. A full disk leaves no half line. Raises ResourceError, StoreError."""
        with explained(self.path, len(line)):
            try:
                point("append", self.path.name)
                if os.write(self._fd, line) != len(line):
                    raise OSError(errno.ENOSPC, "short write")
            except OSError:
                os.ftruncate(self._fd, self.size)
                raise
        self.size += len(line)
        self._hash.update(line)

    def state(self) -> tuple[int, str]:
        """Bytes and their sha256."""
        return self.size, self._hash.hexdigest()

    def cut(self, nbytes: int, digest: str) -> bool:
        """Cuts the file to its first `nbytes` if their sha256 is `digest`; False, and no change, if not."""
        with explained(self.path):
            kept = os.pread(self._fd, nbytes, 0)
            if len(kept) != nbytes or sha256(kept).hexdigest() != digest:
                return False
            self._cut(kept)
            return True

    def sync(self) -> None:
        """fsync: what was appended is on the disk."""
        with explained(self.path):
            point("fsync", self.path.name)
            os.fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)
