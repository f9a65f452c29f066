"""Atomic writes: after a kill or a full disk at any moment, either the old or the new file exists, never part of one.

Contains `put` and append-only files; independent of stages and runs. A call of `point` precedes every system call that
tests interrupt."""

import errno
import os
import secrets
import stat
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from transfer_cli.errors import Fault, StoreError
from transfer_cli.safe import shown
from transfer_cli.store.diskerrors import explain, explained, point

NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_all(fd: int, data: bytes, name: str) -> None:
    """Writes all of `data`, in a loop because one write may be incomplete. Uses at least two calls, so that tests can
    crash the process in the middle of a file."""
    rest = memoryview(data)
    half = min(8 << 20, len(data) // 2 + 1)
    while rest:
        rest = rest[os.write(fd, rest[:half]) :]
        point("write", name)


def sync_folder(folder: Path) -> None:
    """Calls fsync on a directory, which makes file names in it durable."""
    point("fsync_dir", folder.name)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def put(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Replaces the content of `path` by `data`, or leaves the old file unchanged: temporary file, fsync, rename, fsync
    of the folder. `durable=False` omits both fsyncs, for files that may be lost in a power failure.

    Raises ResourceError on a full disk or a limit, StoreError on other errors; the temporary file is then removed."""
    tmp = path.with_name(f"{path.name}.tmp.{secrets.token_hex(4)}")
    with explained(path, len(data)):
        if path.is_symlink():
            raise OSError(errno.ELOOP, "link")  # a rename would replace the link, which this program did not create
        point("open", path.name)
        fd = os.open(tmp, os.O_WRONLY | NEW, 0o666)
        try:
            _fill(fd, data, path.name, durable)
            point("rename", path.name)
            os.replace(tmp, path)
        except OSError:
            # after a failed fsync the kernel may mark lost pages as clean, so never retry: delete the file
            with suppress(OSError):
                os.unlink(tmp)
            raise
        if durable:
            sync_folder(path.parent)


def _fill(fd: int, data: bytes, name: str, durable: bool) -> None:
    try:
        write_all(fd, data, name)
        if durable:
            point("fsync", name)
            os.fsync(fd)
    finally:
        os.close(fd)


def read_file(path: Path) -> bytes:
    """The content of a regular file. Raises FileNotFoundError if it is missing, StoreError if it is a link or
    device."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise explain(error, path) from error
    with explained(path), open(fd, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.ELOOP, "not a regular file")
        point("read", path.name)
        return file.readall()


def check_folder(path: Path) -> None:
    """Raises StoreError unless `path` is a real directory that belongs to this user and is not writable by all."""
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
    """Creates a directory, never writable by all whatever the umask is, or checks an existing one (`check_folder`)."""
    with explained(path):
        point("mkdir", path.name)
        with suppress(FileExistsError):
            os.mkdir(path, 0o775)
            sync_folder(path.parent)
    check_folder(path)


class Lines:
    """An append-only file with one writer, one `os.write` per line. Opening it removes an incomplete last line.

    Tracks the size and hash of the content, so that a checkpoint can record which part of the file belongs to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with explained(path):
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._fd = os.open(path, flags, 0o666)
            data = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
            whole = data[: data.rfind(b"\n") + 1]
            self._cut(whole)

    def _cut(self, prefix: bytes) -> None:
        self.size, self._hash = len(prefix), sha256(prefix)
        if os.fstat(self._fd).st_size != self.size:
            point("truncate", self.path.name)
            os.ftruncate(self._fd, self.size)

    def append(self, line: bytes) -> None:
        """Appends `line`, which ends with a newline. A full disk leaves no partial line.

        Raises ResourceError on a full disk or a limit, StoreError on other I/O errors."""
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
        """Size in bytes and sha256 of the content."""
        return self.size, self._hash.hexdigest()

    def cut(self, nbytes: int, digest: str) -> bool:
        """Truncates the file to its first `nbytes` if their sha256 is `digest`; otherwise returns False and changes
        nothing."""
        with explained(self.path):
            prefix = os.pread(self._fd, nbytes, 0)
            if len(prefix) != nbytes or sha256(prefix).hexdigest() != digest:
                return False
            self._cut(prefix)
            return True

    def sync(self) -> None:
        """Calls fsync, so that all appended lines are on disk."""
        with explained(self.path):
            point("fsync", self.path.name)
            os.fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)
