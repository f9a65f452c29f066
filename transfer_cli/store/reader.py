"""The reading half of a store: state, manifests and files of stages. Takes no claim and writes nothing."""

import json
import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

from transfer_cli.errors import Fault, StoreError
from transfer_cli.safe import KEY, check_key, safe, shown
from transfer_cli.store.claim import stored_identity
from transfer_cli.store.commit import DONE, FAILED, is_done, is_whole, read_manifest
from transfer_cli.store.disk import check_folder, read_file
from transfer_cli.store.lock import is_held

FORMAT = 1
NEEDS = "needs.json"
Needs = list[tuple[str, str, str]]  # stage, file, sha256
State = Literal["done", "failed", "running", "partial", "absent"]


class Damaged(StoreError):
    """A finished stage whose files differ from its manifest, or which depends on files of another stage that changed.

    `key` is the key of that stage, which must be moved to quarantine and computed again."""

    def __init__(self, key: str, name: str, text: str = "failed its checksum") -> None:
        super().__init__(Fault(f"stage {key[:12]}", f"{name} {text}", do="run the same command again"))
        self.key = key


class StoreReader:
    """Read access to the store at `root`. Raises StoreError if the store belongs to another user or has a newer
    format."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._locks = root / ".locks"
        if root.is_symlink() or root.exists():
            check_folder(root)
            self._check_format(absent_ok=True)

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
        """Directory of a stage. Raises ConfigError if `key` is not a valid key."""
        return self.root / check_key(key)

    def keys(self) -> list[str]:
        """Keys of all stages that have a directory, sorted."""
        with suppress(FileNotFoundError), os.scandir(self.root) as entries:
            return sorted(e.name for e in entries if KEY.fullmatch(e.name) and e.is_dir(follow_symlinks=False))
        return []

    def state(self, key: str) -> State:
        """State of a stage, without claiming it. A "partial" stage can be claimed and continued."""
        folder = self._checked_folder(key)
        if folder and is_done(folder):
            return "done"
        if is_held(self._locks / key):
            return "running"
        names = os.listdir(folder) if folder else []
        if FAILED in names:
            return "failed"
        return "partial" if names else "absent"

    def _checked_folder(self, key: str) -> Path | None:
        folder = self.path(key)
        if not folder.is_symlink() and not folder.exists():
            return None
        check_folder(folder)
        return folder

    def done(self, key: str) -> bool:
        """Whether DONE is valid and all file sizes match. Writes nothing, takes no lock."""
        return self.state(key) == "done"

    def failure(self, key: str) -> dict[str, Any] | None:
        """Content of FAILED.json, or None."""
        with suppress(FileNotFoundError, ValueError, TypeError):
            return dict(json.loads(read_file(self.path(key) / FAILED)))
        return None

    def identity(self, key: str) -> dict[str, Any] | None:
        """The identity class in which a stage was computed, or None."""
        return stored_identity(self.path(key))

    def files(self, key: str) -> dict[str, int]:
        """File names and sizes in bytes of a finished stage. Raises Damaged if it is not finished."""
        manifest = read_manifest(self.path(key))
        if manifest is None:
            raise Damaged(key, DONE)
        return {name: size for name, (size, _) in manifest.items()}

    def digest(self, key: str, name: str) -> str:
        """sha256 of one file of a finished stage, from its manifest. Raises Damaged if the stage is not finished,
        StoreError if it is finished but has no such file: computing it again would not help."""
        manifest = read_manifest(self.path(key))
        if manifest is None:
            raise Damaged(key, DONE)
        if name not in manifest:
            raise StoreError(Fault(f"stage {key[:12]}", f"has no {safe(name)}"))
        return manifest[name][1]

    def read(self, key: str, name: str) -> bytes:
        """Content of one file of a finished stage, after comparing its hash with the manifest.
        Raises Damaged if the file, the manifest or DONE is wrong or missing."""
        digest = self.digest(key, name)
        try:
            data = read_file(self.path(key) / name)
        except FileNotFoundError:
            raise Damaged(key, name) from None
        if sha256(data).hexdigest() != digest:
            raise Damaged(key, name)
        return data

    def needs(self, key: str) -> Needs:
        """Files of other stages that this finished stage depends on, as (stage, file, sha256).
        Raises Damaged if the list or the stage is damaged."""
        if NEEDS not in self.files(key):
            return []
        return [(str(parent), str(name), str(digest)) for parent, name, digest in json.loads(self.read(key, NEEDS))]

    def check_needs(self, key: str) -> None:
        """Raises Damaged for a stage that `key` depends on and that is not finished, and for `key` itself if a file it
        depends on was computed again with another result."""
        for parent, name, digest in self.needs(key):
            if self.digest(parent, name) != digest:
                raise Damaged(key, name, f"of stage {parent[:12]}, on which it rests, is another now")

    def verify(self, key: str) -> bool:
        """Whether the stage is finished, every file has its hash, and no file it depends on has changed."""
        manifest = read_manifest(self.path(key))
        return manifest is not None and is_whole(self.path(key), manifest) and not self.outgrown(key)

    def outgrown(self, key: str) -> bool:
        """Whether a file that a finished stage depends on was computed again with another result."""
        try:
            self.check_needs(key)
        except Damaged as damaged:
            return damaged.key == key  # otherwise a stage it depends on is missing, and this stage is not damaged
        return False
