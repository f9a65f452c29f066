"""transfer clean: stage results that no run uses, damaged files set aside, and the trash. Shows them; deletes with -y.
Runs themselves are yours to delete: afterwards their stages are used by nobody, unless another run shares them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from transfer_cli.errors import ConfigError, Fault

if TYPE_CHECKING:
    from transfer_cli.cli.options import Options
    from transfer_cli.report.tables import Table
    from transfer_cli.store.store import Store

# any key a run directory mentions is used, whatever the layout of the file; sha256 digests are longer
KEY = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
SAID = {
    "stage": "stages no run uses",
    "quarantine": "quarantined",
    "trash": "in the trash",
    "in use": "in use now, kept",
}


@dataclass(frozen=True)
class Item:
    """One thing in the store that no run needs. `kind`: stage, quarantine, trash, or in use (claimed now)."""

    kind: str
    path: Path
    bytes: int


def main(options: Options) -> int:
    """Example: transfer clean -y"""
    from transfer_cli.report.screen import Screen
    from transfer_cli.store.store import Store

    if options.words or options.args:
        raise ConfigError(Fault("clean", "takes no words; it shows what no run uses, and deletes that with -y"))
    root = options.runs / ".store"
    store = Store(root, create=options.yes and root.exists())
    with store.cleaning() if options.yes and root.exists() else nullcontext():
        items = list(_items(store, options.runs))
        if options.yes:
            items = [_deleted(store, item) for item in items]
    screen = Screen.of(options)
    table = _table(items, deleted=options.yes)
    # keys say nothing to people
    screen.show(table if options.verbose or screen.format != "table" else replace(table, rows=[]))
    return 0


def _items(store: Store, runs: Path) -> Iterator[Item]:
    for key in sorted(set(store.keys()) - with_needs(store, used_keys(runs))):
        path = store.path(key)
        yield Item("in use" if store.state(key) == "running" else "stage", path, tree_bytes(path))
    for kind in ("quarantine", "trash"):
        folder = store.root / f".{kind}"
        for name in sorted(os.listdir(folder)) if folder.is_dir() and not folder.is_symlink() else []:
            yield Item(kind, folder / name, tree_bytes(folder / name))


def used_keys(runs: Path) -> set[str]:
    """Keys that the plans and results of all run directories mention."""
    from transfer_cli.rundir.rundir import folders

    files = [folder / name for folder in folders(runs) for name in ("plan.json", "results.json")]
    return {key.decode() for file in files if file.is_file() for key in KEY.findall(file.read_bytes())}


def with_needs(store: Store, used: set[str]) -> set[str]:
    """`used`, and the stages whose files they need, at any depth: a run may start from the net of one that is gone."""
    from transfer_cli.store.store import NEEDS

    todo, found = list(used), set(used)
    while todo:
        path = store.path(todo.pop()) / NEEDS
        needed = {key.decode() for key in KEY.findall(path.read_bytes())} if path.is_file() else set()
        todo += needed - found
        found |= needed
    return found


def tree_bytes(path: Path) -> int:
    """Bytes of the files in a tree; links count themselves, nothing is followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(tree_bytes(child) for child in path.iterdir())


def _deleted(store: Store, item: Item) -> Item:
    """The item after deletion: `in use` if somebody claimed it meanwhile."""
    from transfer_cli.store.store import delete

    if item.kind == "in use" or (item.kind == "stage" and not store.remove(item.path.name)):
        return Item("in use", item.path, item.bytes)
    if item.kind != "stage":
        delete(item.path)
    return item


def _table(items: list[Item], *, deleted: bool) -> Table:
    from transfer_cli.analysis.numbers import size
    from transfer_cli.report.tables import Column, Table

    found = {kind: [item for item in items if item.kind == kind] for kind in SAID}
    parts = [
        f"{len(some)} {SAID[kind].replace('stages', 'stage' if len(some) == 1 else 'stages')}"
        + (f", {size(sum(item.bytes for item in some))}" if kind != "in use" else "")
        for kind, some in found.items()
        if some
    ]
    nothing = not any(found[kind] for kind in SAID if kind != "in use")
    title = "; ".join(parts) if parts else "nothing to clean"
    rows = [{"kind": item.kind, "name": item.path.name, "size": item.bytes} for item in items]
    return Table(
        [Column("kind"), Column("name"), Column("size", "B")],
        rows,
        f"deleted: {title}" if deleted and not nothing else title,
        next="" if deleted or nothing else "transfer clean -y",
        schema="clean/1",
    )
