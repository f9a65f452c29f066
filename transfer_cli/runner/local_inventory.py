"""Data sets and weights found locally, by the names of folders and files. Fast enough for the first screen; imports no
numpy and no torch."""

import os
from collections.abc import Iterator
from pathlib import Path

from transfer_cli.config import folders

WEIGHTS = (".safetensors", ".pth", ".pt", ".th")
IN_PACKAGE = "digits"


def data_folder() -> Path | None:
    """$TRANSFER_DATA, if it is set."""
    folder = os.environ.get("TRANSFER_DATA")
    return Path(folder).expanduser() if folder else None


def data_sets(runs: Path) -> list[str]:
    """Built-in data sets whose folder exists and is not empty, and the data set inside the package."""
    present = {path.name.lower() for root in (data_folder(), runs / ".cache" / "data") for path in _children(root)}
    return [name for name in folders.options("data") if name == IN_PACKAGE or name in present]


def weights(runs: Path) -> list[str]:
    """Names of weights files in $TRANSFER_DATA/weights, in the folder of torch hub and in the folder of `fetch`."""
    hub = Path(os.environ.get("TORCH_HOME", "~/.cache/torch")).expanduser() / "hub" / "checkpoints"
    folder = data_folder()
    roots = [*([folder / "weights"] if folder else []), hub, runs / ".cache" / "data" / "weights"]
    files = [path for root in roots for path in (*_children(root), *_grandchildren(root)) if path.suffix in WEIGHTS]
    return sorted({path.name for path in files})


def threads() -> int:
    """The number of cores that this process may use."""
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
