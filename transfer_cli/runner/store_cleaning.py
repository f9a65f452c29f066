"""Finds what no run uses in the store, and deletes it on request. After a user deletes a run directory, its stages are
unused, unless another run shares them."""

import os
import re
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from transfer_cli.rundir.runs import folders
from transfer_cli.store.store import NEEDS, Store, delete

# every key in the files of a run directory counts as used, in any layout of the file; sha256 digests are longer
KEY = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")


@dataclass(frozen=True)
class Item:
    """One entry of the store that no run needs. `kind`: stage, quarantine, trash, or in use (another process claims
    it)."""

    kind: str
    path: Path
    bytes: int


def unused_items(runs: Path, *, deleting: bool) -> list[Item]:
    """Everything in the store that no run needs. With `deleting` it is deleted, except what is in use now."""
    root = runs / ".store"
    deleting = deleting and root.exists()
    store = Store(root, create=deleting)
    with store.cleaning() if deleting else nullcontext():
        items = list(_items(store, runs))
        return [_deleted(store, item) for item in items] if deleting else items


def _items(store: Store, runs: Path) -> Iterator[Item]:
    for key in sorted(set(store.keys()) - with_needs(store, used_keys(runs))):
        path = store.path(key)
        yield Item("in use" if store.state(key) == "running" else "stage", path, tree_bytes(path))
    for kind in ("quarantine", "trash"):
        folder = store.root / f".{kind}"
        for name in sorted(os.listdir(folder)) if folder.is_dir() and not folder.is_symlink() else []:
            yield Item(kind, folder / name, tree_bytes(folder / name))


def used_keys(runs: Path) -> set[str]:
    """All keys in plan.json and results.json of all run directories."""
    files = [folder / name for folder in folders(runs) for name in ("plan.json", "results.json")]
    return {key.decode() for file in files if file.is_file() for key in KEY.findall(file.read_bytes())}


def with_needs(store: Store, used: set[str]) -> set[str]:
    """`used` and all stages that these need, directly or indirectly. A run may start from the net of a run whose
    directory was deleted."""
    todo, needed_keys = list(used), set(used)
    while todo:
        path = store.path(todo.pop()) / NEEDS
        needed = {key.decode() for key in KEY.findall(path.read_bytes())} if path.is_file() else set()
        todo += needed - needed_keys
        needed_keys |= needed
    return needed_keys


def tree_bytes(path: Path) -> int:
    """Bytes of the files in a tree. Links are counted themselves and are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(tree_bytes(child) for child in path.iterdir())


def _deleted(store: Store, item: Item) -> Item:
    """Deletes an item and returns it. Its kind becomes `in use` if another process has claimed it meanwhile."""
    if item.kind == "in use" or (item.kind == "stage" and not store.remove(item.path.name)):
        return Item("in use", item.path, item.bytes)
    if item.kind != "stage":
        delete(item.path)
    return item
