"""File locks with `flock`. The kernel releases a lock when its process dies, so no code guesses whether the owner
lives.

Lock files are never removed, because that would allow two holders at once. Their text is only for messages.
`fcntl.lockf` is not used: such a lock is lost when the process closes any other descriptor of the file."""

import errno
import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from transfer_cli.errors import Busy, Fault, StoreError
from transfer_cli.safe import safe, shown
from transfer_cli.store.diskerrors import explain, explained, point

SAY_AGAIN_S = 60.0
_held: set[int] = set()


def _forget() -> None:
    """Closes all locks in a forked child: a worker that outlives its parent must not keep the parent's claim."""
    for fd in _held:
        os.close(fd)
    _held.clear()


os.register_at_fork(after_in_child=_forget)


def _flock(fd: int, mode: int, path: Path) -> bool:
    """Returns True if the lock was acquired, False if another process holds it. Never blocks, because a blocking flock
    would delay Ctrl-C."""
    try:
        point("lock", path.name)
        fcntl.flock(fd, mode | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise no_locks(path.parent) from error
        raise explain(error, path) from error


def no_locks(folder: Path) -> StoreError:
    """The error of a file system on which locks do not exclude other processes."""
    return StoreError(
        Fault(shown(folder), "file locks do not work here", do="put the store on a local disk, --runs DIR")
    )


class Lock:
    """An exclusive lock on `path`, held from `take` or `wait` until `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = self._pid = -1

    def take(self, owner: str, tries: int = 3) -> bool:
        """Acquires the lock if it is free; returns whether it did. `owner` is shown to waiting processes.

        Tries more than once, because a process that calls `is_held` holds the lock for a moment."""
        for attempt in range(tries):
            time.sleep(0.005 * attempt)
            if self._take(owner):
                return True
        return False

    def _take(self, owner: str) -> bool:
        with explained(self.path):
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        _held.add(fd)
        self._fd, self._pid = fd, os.getpid()
        acquired = False
        try:
            acquired = _flock(fd, fcntl.LOCK_EX, self.path)
        finally:
            if not acquired:
                self.release()
        if acquired:
            self._sign(owner)
        return acquired

    def _sign(self, owner: str) -> None:
        with suppress(OSError):  # the text is only for messages: a full disk must not prevent the claim
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"pid {os.getpid()}, {owner}\n".encode("utf-8", "surrogateescape"), 0)

    def wait(
        self, owner: str, what: str, limit_s: float | None, poll: Callable[[], None], talk: Callable[[str], None]
    ) -> bool:
        """Acquires the lock of `what` and waits for its holder; returns whether it had to wait.

        `poll` runs between attempts and may raise to stop waiting. Raises Busy after `limit_s` seconds (None: waits
        without limit). A lock is never taken from a holder that is only suspended."""
        start, say_at, pause = time.monotonic(), 0.0, 0.2
        while not self.take(owner):
            waited = time.monotonic() - start
            if limit_s is not None and waited >= limit_s:
                raise Busy(Fault(what, f"still claimed by {holder(self.path)}", do="stop it or wait"))
            poll()
            if waited >= say_at:
                talk(f"waiting for {what}: {holder(self.path)}")
                say_at += SAY_AGAIN_S
            time.sleep(pause if limit_s is None else min(pause, limit_s - waited))
            pause = min(2.0, pause * 1.5)
        return say_at > 0

    def release(self) -> None:
        """Releases the lock. Does nothing in a forked child, where the descriptor is already closed."""
        if self._pid == os.getpid() and self._fd in _held:
            _held.discard(self._fd)
            os.close(self._fd)
        self._fd = self._pid = -1


def holder(path: Path) -> str:
    """The holder of the lock for messages: `pid 4242, runs/...`."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            line = os.pread(fd, 300, 0).split(b"\n")[0].decode("utf-8", "replace")
        finally:
            os.close(fd)
        return safe(line) or "another process"
    return "another process"


def is_held(path: Path) -> bool:
    """Whether a process holds the lock. Tests with a shared lock, so that two tests at once do not see each other."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _flock(fd, fcntl.LOCK_SH, path)
    finally:
        os.close(fd)


def check_locks(folder: Path) -> None:
    """Raises StoreError unless a lock in `folder` excludes other holders (on some network file systems it does not)."""
    first, second = Lock(folder / "probe"), Lock(folder / "probe")
    try:
        # if another process runs this check now, its lock has just blocked ours: locks work
        if first.take("probe", tries=1) and second.take("probe", tries=1):
            raise no_locks(folder)
    finally:
        second.release()
        first.release()
