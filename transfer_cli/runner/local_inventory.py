"""Data sets and weights on this machine, found by names of folders and files: quick enough for the first screen. No
numpy, no torch."""

import os
from collections.abc import Iterator
from pathlib import Path

from transfer_cli.config import folders

WEIGHTS = (".safetensors", ".pth", ".pt", ".th")
IN_PACKAGE = "digits"


def data_folder() -> Path | None:
    """$TRANSFER_DATA, if it is set."""
    given = os.environ.get("TRANSFER_DATA")
    return Path(given).expanduser() if given else None


def data_sets(runs: Path) -> list[str]:
    """Built-in data sets whose folder is there and not empty, and the one in the package."""
    there = {path.name.lower() for root in (data_folder(), runs / ".cache" / "data") for path in _children(root)}
    return [name for name in folders.options("data") if name == IN_PACKAGE or name in there]


def weights(runs: Path) -> list[str]:
    """Weights files in $TRANSFER_DATA/weights, torch hub's folder and among what was fetched, by name."""
    hub = Path(os.environ.get("TORCH_HOME", "~/.cache/torch")).expanduser() / "hub" / "checkpoints"
    given = data_folder()
    roots = [*([given / "weights"] if given else []), hub, runs / ".cache" / "data" / "weights"]
    files = [path for root in roots for path in (*_children(root), *_grandchildren(root)) if path.suffix in WEIGHTS]
    return sorted({path.name for path in files})


def threads() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _children(folder: Path | None) -> Iterator[Path]:
    try:
        for entry in os.scandir(folder) if folder else ():
            if entry.is_file() or any(os.scandir(entry.path)):
                yield Path(entry.path)
    except OSError:
        return


def _grandchildren(folder: Path) -> Iterator[Path]:
    for child in _children(folder):
        if child.is_dir():
            yield from _children(child)
