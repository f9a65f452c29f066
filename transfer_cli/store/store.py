"""Stage results on disk, shared by all runs: found, claimed, verified, read, removed. No torch, no strategies.

    root/FORMAT  .locks/<key>  .quarantine/  .trash/
    root/<key>/  stage.json rows.jsonl timing.jsonl resume-* model*.safetensors results.json MANIFEST.json DONE

Nothing reads a stage without a valid DONE; only the holder of its lock writes it. Several processes of one user on
one machine; claim.py writes, commit.py holds what DONE means, disk.py how a file is written."""

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from transfer_cli.errors import Fault, StoreError
from transfer_cli.safe import KEY, check_key, safe, shown
from transfer_cli.store.claim import Claim, stored_identity
from transfer_cli.store.claim import identity_change as identity_change
from transfer_cli.store.commit import DONE, FAILED, is_done, is_tidy, is_whole, read_manifest
from transfer_cli.store.commit import canonical as canonical
from transfer_cli.store.disk import check_folder, make_folder, put, read_file, sync_folder
from transfer_cli.store.diskerrors import explained, point
from transfer_cli.store.lock import Lock, check_locks, is_held

FORMAT = 1
NEEDS = "needs.json"
CLEANING = "clean"  # a lock beside those of stages
Needs = list[tuple[str, str, str]]  # stage, file, sha256
State = Literal["done", "failed", "running", "partial", "absent"]


class Damaged(StoreError):
    """A finished stage whose files are not what its manifest says, or that rests on files of another stage which are
    not what they were. `key` names it: quarantine, then retrain."""

    def __init__(self, key: str, name: str, text: str = "failed its checksum") -> None:
        super().__init__(Fault(f"stage {key[:12]}", f"{name} {text}", do="run the same command again"))
        self.key = key


def quiet(text: str = "") -> None:
    """A `poll` or `talk` that does nothing."""


class Store:
    """The store at `root`. `create=False` makes and probes nothing: enough to look, also where nothing may be written.

    Raises StoreError if it cannot be written, is not ours, is of a newer format, or file locks do not work there."""

    def __init__(self, root: Path, *, create: bool = True) -> None:
        self.root = root
        self._locks = root / ".locks"
        if root.is_symlink() or root.exists():
            check_folder(root)
            self._check_format(absent_ok=True)
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
        """Finds lost permission before hours of training, not after."""
        probe = self.root / f"FORMAT.tmp.{secrets.token_hex(4)}"
        with explained(probe):
            point("probe")
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC))
            os.unlink(probe)

    def _check_format(self, *, absent_ok: bool) -> None:
        try:
            version = json.loads(read_file(self.root / "FORMAT"))["store"]
        except FileNotFoundError:
            if absent_ok:
                return
            raise StoreError(Fault(shown(self.root), "was removed while in use", do="run the same command")) from None
        except (ValueError, KeyError, TypeError):
            raise StoreError(Fault(shown(self.root / "FORMAT"), "is not a store format", do="--runs DIR")) from None
        if not isinstance(version, int) or version > FORMAT:
            text = f"store format {version} is newer than this program ({FORMAT})"
            raise StoreError(Fault(shown(self.root), text, do="update transfer, or choose another --runs DIR"))

    def path(self, key: str) -> Path:
        """Directory of a stage. Raises ConfigError if `key` is no key."""
        return self.root / check_key(key)

    def keys(self) -> list[str]:
        """Keys of all stages that have a directory, sorted."""
        with suppress(FileNotFoundError), os.scandir(self.root) as entries:
            return sorted(e.name for e in entries if KEY.fullmatch(e.name) and e.is_dir(follow_symlinks=False))
        return []

    def state(self, key: str) -> State:
        """Where a stage stands, without taking its claim. Who finds "partial" may continue it."""
        folder = self._looked_at(key)
        if folder and is_done(folder):
            return "done"
        if is_held(self._locks / key):
            return "running"
        names = os.listdir(folder) if folder else []
        if FAILED in names:
            return "failed"
        return "partial" if names else "absent"

    def _looked_at(self, key: str) -> Path | None:
        folder = self.path(key)
        if not folder.is_symlink() and not folder.exists():
            return None
        check_folder(folder)
        return folder

    def done(self, key: str) -> bool:
        """Whether a valid DONE is there and all sizes match. Writes nothing, takes no lock."""
        return self.state(key) == "done"

    def hit(self, key: str) -> bool:
        """`done`, and leftovers of a writer that was killed at the very end are removed if nobody has the claim."""
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

    def failure(self, key: str) -> dict[str, Any] | None:
        """What FAILED.json says, or None."""
        with suppress(FileNotFoundError, ValueError, TypeError):
            return dict(json.loads(read_file(self.path(key) / FAILED)))
        return None

    def identity(self, key: str) -> dict[str, Any] | None:
        """The identity class a stage was computed in."""
        return stored_identity(self.path(key))

    def files(self, key: str) -> dict[str, int]:
        """Names and bytes of a finished stage; raises Damaged if it is not finished."""
        manifest = read_manifest(self.path(key))
        if manifest is None:
            raise Damaged(key, DONE)
        return {name: size for name, (size, _) in manifest.items()}

    def digest(self, key: str, name: str) -> str:
        """sha256 of one file of a finished stage, as its manifest says. Raises Damaged if the stage is not
        finished, StoreError if it is but has no such file: computing it again would not help."""
        manifest = read_manifest(self.path(key))
        if manifest is None:
            raise Damaged(key, DONE)
        if name not in manifest:
            raise StoreError(Fault(f"stage {key[:12]}", f"has no {safe(name)}"))
        return manifest[name][1]

    def read(self, key: str, name: str) -> bytes:
        """One file of a finished stage, checked against its manifest: the very bytes that were hashed.
        Raises Damaged if the file, the manifest or DONE is wrong or gone."""
        digest = self.digest(key, name)
        try:
            data = read_file(self.path(key) / name)
        except FileNotFoundError:
            raise Damaged(key, name) from None
        if sha256(data).hexdigest() != digest:
            raise Damaged(key, name)
        return data

    def needs(self, key: str) -> Needs:
        """Files of other stages without which the files of this finished stage say nothing: stage, file, sha256.
        Raises Damaged if the list or the stage is damaged."""
        if NEEDS not in self.files(key):
            return []
        return [(str(parent), str(name), str(digest)) for parent, name, digest in json.loads(self.read(key, NEEDS))]

    def check_needs(self, key: str) -> None:
        """Raises Damaged: of a stage that `key` needs and that is not finished, or of `key` itself if what it needs
        was computed again and came out as other bytes."""
        for parent, name, digest in self.needs(key):
            if self.digest(parent, name) != digest:
                raise Damaged(key, name, f"of stage {parent[:12]}, on which it rests, is another now")

    def verify(self, key: str) -> bool:
        """Whether the stage is finished, every file has its hash, and what it needs is not another by now."""
        manifest = read_manifest(self.path(key))
        return manifest is not None and is_whole(self.path(key), manifest) and not self.outgrown(key)

    def outgrown(self, key: str) -> bool:
        """Whether what a finished stage needs was computed again and came out as other bytes."""
        try:
            self.check_needs(key)
        except Damaged as damaged:
            return damaged.key == key  # else what it needs is not there: no fault of this stage
        return False

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
        """The right to write a stage, held to the end of the block; see `Claim.state` for what is there already.

        `owner` is the run directory, for those who wait. While another process holds it, `poll` runs at every look and
        may raise to stop; raises Busy after `wait` seconds. Hold one claim at a time, with the parents done."""
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
        """Moves a damaged stage to .quarantine, so that it can be computed again. False, and nothing moved, if it is
        whole or unfinished when the claim is got: somebody else was faster."""
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
        """Held while somebody looks which stages no run names and deletes those: see `after_cleaning`."""
        lock = Lock(self._locks / CLEANING)
        lock.wait("transfer clean", "the store", None, poll, quiet)
        try:
            yield
        finally:
            lock.release()

    def after_cleaning(self, poll: Callable[[], None] = quiet) -> None:
        """Returns when nobody is cleaning. A run that has written down which stages it names and then waits here finds
        them either kept, or gone before it looks."""
        while is_held(self._locks / CLEANING):
            poll()
            time.sleep(0.05)

    def remove(self, key: str) -> bool:
        """Deletes a stage unless somebody has its claim (False). Never follows links."""
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
    """Deletes a file or directory tree; links in it go, what they point to stays."""
    with explained(path):
        point("delete", path.name)
        if path.is_symlink() or not path.is_dir():
            path.unlink()
        else:
            shutil.rmtree(path)
