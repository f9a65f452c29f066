"""The store of stage results on disk, shared by all runs: look up, claim, verify, read, remove. No torch, no
strategies.

    root/FORMAT  .locks/<key>  .quarantine/  .trash/
    root/<key>/  stage.json rows.jsonl timing.jsonl resume-* model*.safetensors results.json MANIFEST.json DONE

A stage is read only if DONE is valid, and written only by the holder of its lock. Several processes of one user may use
a store at the same time. claim.py writes stages, commit.py defines DONE, disk.py writes files."""

import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from transfer_cli.store.claim import Claim
from transfer_cli.store.claim import identity_change as identity_change
from transfer_cli.store.commit import canonical as canonical
from transfer_cli.store.commit import is_done, is_tidy
from transfer_cli.store.disk import check_folder, make_folder, put, sync_folder
from transfer_cli.store.diskerrors import explained, point
from transfer_cli.store.lock import Lock, check_locks, is_held
from transfer_cli.store.reader import FORMAT, StoreReader
from transfer_cli.store.reader import NEEDS as NEEDS
from transfer_cli.store.reader import Damaged as Damaged

CLEANING = "clean"  # name of the lock that `transfer clean` holds


def quiet(text: str = "") -> None:
    """A `poll` or `talk` that does nothing."""


class Store(StoreReader):
    """The store at `root`. `create=False` writes nothing: for reading, also from read-only file systems.

    Raises StoreError if the store cannot be written, belongs to another user, has a newer format, or is on a file
    system without working locks."""

    def __init__(self, root: Path, *, create: bool = True) -> None:
        super().__init__(root)
        if create:
            self._create()

    def _create(self) -> None:
        with explained(self.root):
            self.root.parent.mkdir(parents=True, exist_ok=True)
        make_folder(self.root)
        self._check_writing()
        for folder in (self._locks, self.root / ".quarantine", self.root / ".trash"):
            make_folder(folder)
        if not (self.root / "FORMAT").exists():
            put(self.root / "FORMAT", canonical({"store": FORMAT}) + b"\n")
        check_locks(self._locks)

    def _check_writing(self) -> None:
        """Detects missing write permission before hours of training, not after."""
        probe = self.root / f"FORMAT.tmp.{secrets.token_hex(4)}"
        with explained(probe):
            point("probe")
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC))
            os.unlink(probe)

    def hit(self, key: str) -> bool:
        """As `done`; also removes leftovers of a writer that was killed after the commit, unless the stage is
        claimed."""
        if not self.done(key):
            return False
        if not is_tidy(self.path(key)):
            lock = Lock(self._locks / key)
            if lock.take("tidying"):
                try:
                    Claim(key, self.path(key), quiet).close()
                finally:
                    lock.release()
        return True

    @contextmanager
    def claim(
        self,
        key: str,
        *,
        owner: str,
        wait: float | None = None,
        poll: Callable[[], None] = quiet,
        talk: Callable[[str], None] = quiet,
    ) -> Iterator[Claim]:
        """Exclusive write access to a stage until the end of the block; `Claim.state` is what the stage contains.

        `owner` is the run directory, shown to waiting processes. While another process holds the claim, `poll` runs
        between attempts and may raise to stop. Raises Busy after `wait` seconds. Hold only one claim at a time, after
        the parents are done."""
        folder, lock = self.path(key), Lock(self._locks / key)
        waited = lock.wait(owner, f"stage {key[:12]}", wait, poll, talk)
        try:
            self._check_format(absent_ok=False)
            claim = Claim(key, folder, talk)
            if waited and claim.state == "partial":
                talk(f"owner of stage {key[:12]} is gone, continuing at step {claim.newest_step():,}")
            try:
                yield claim
            finally:
                claim.close()
        finally:
            lock.release()

    def quarantine(
        self, key: str, *, owner: str, poll: Callable[[], None] = quiet, talk: Callable[[str], None]
    ) -> bool:
        """Moves a damaged stage to .quarantine, so that it can be computed again. Returns False and moves nothing if
        the stage is intact or unfinished once it is claimed: another process was faster."""
        lock = Lock(self._locks / key)
        lock.wait(owner, f"stage {key[:12]}", None, poll, talk)
        try:
            if not self.path(key).exists() or not is_done(self.path(key)) or self.verify(key):
                return False
            self._move(key, ".quarantine")
        finally:
            lock.release()
        talk(f"warning: stage {key[:12]} failed its checksum, retraining")
        return True

    def _move(self, key: str, where: Literal[".quarantine", ".trash"]) -> Path:
        target = self.root / where / f"{key}.{secrets.token_hex(4)}"
        with explained(target):
            point("rename", where)
            self.path(key).rename(target)
        sync_folder(self.root)
        return target

    @contextmanager
    def cleaning(self, poll: Callable[[], None] = quiet) -> Iterator[None]:
        """Lock held while `transfer clean` searches and deletes stages that no run uses; see `after_cleaning`."""
        lock = Lock(self._locks / CLEANING)
        lock.wait("transfer clean", "the store", None, poll, quiet)
        try:
            yield
        finally:
            lock.release()

    def after_cleaning(self, poll: Callable[[], None] = quiet) -> None:
        """Waits until no process is cleaning. A run first records its stages, then waits here: cleaning then either
        keeps them or has deleted them before the run looks them up."""
        while is_held(self._locks / CLEANING):
            poll()
            time.sleep(0.05)

    def remove(self, key: str) -> bool:
        """Deletes a stage; returns False if it is claimed. Never follows links."""
        lock = Lock(self._locks / key)
        if not lock.take("transfer clean"):
            return False
        try:
            check_folder(self.path(key))
            target = self._move(key, ".trash")
        finally:
            lock.release()
        delete(target)
        return True


def delete(path: Path) -> None:
    """Deletes a file or directory tree. Links in it are deleted, their targets are not."""
    with explained(path):
        point("delete", path.name)
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        else:
            shutil.rmtree(path)
