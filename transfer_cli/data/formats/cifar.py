"""Readers of CIFAR-10 and CIFAR-100: the published Python batches, and lossless WebP sheets of 50x50 pictures.
Krizhevsky 2009, www.cs.toronto.edu/~kriz/cifar.html. The batches are pickles. Only here does the program unpickle: only
files with the published md5, and only numpy arrays and plain values."""

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from transfer_cli.data.contracts import bad_file
from transfer_cli.data.formats.decode import picture

BATCHES = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
}
HUNDRED = {  # of CIFAR-100; meta has the names of its classes
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}


class _Plain(pickle.Unpickler):
    """Numpy arrays and plain values only."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"holds {module}.{name}")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)


def read_batch(path: Path) -> np.ndarray:
    """uint8 [N, 1 + 3072]: label (of CIFAR-100 the fine one), then red, green and blue 32x32. DataError if the file is
    not the published one."""
    batch = _published(path)
    labels = batch["fine_labels"] if "fine_labels" in batch else batch["labels"]
    return np.hstack([np.asarray(labels, np.uint8)[:, None], batch["data"]])


def read_names(path: Path) -> tuple[str, ...]:
    """The 100 classes of CIFAR-100, from its file meta. DataError if that is not the published one."""
    return tuple(map(str, _published(path)["fine_label_names"]))


def _published(path: Path) -> dict[str, Any]:
    """The content of a file with the published md5. DataError for any other file."""
    data = path.read_bytes()
    found, want = hashlib.md5(data, usedforsecurity=False).hexdigest(), (BATCHES | HUNDRED)[path.name]
    if found != want:
        raise bad_file(path, f"md5 {found[:8]}..., published {want[:8]}...; not opened")
    try:
        return dict(_Plain(io.BytesIO(data), encoding="latin1").load())
    except pickle.UnpicklingError as error:
        raise bad_file(path, f"not opened: {error}") from None


def read_sheets(paths: list[Path]) -> np.ndarray:
    """uint8 [2500 * len(paths), 32, 32, 3] of sheets of 1600x1600, row by row."""
    return np.concatenate([_tiles(path) for path in paths])


def _tiles(path: Path) -> np.ndarray:
    sheet: Image.Image = picture(path)
    if sheet.size != (1600, 1600) or sheet.mode != "RGB":
        raise bad_file(path, f"{sheet.width}x{sheet.height} {sheet.mode}, want 1600x1600 RGB")
    return np.asarray(sheet).reshape(50, 32, 50, 32, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 32, 32, 3)


def read_labels(path: Path) -> dict[str, np.ndarray]:
    """int64 labels of "train" and "test" from labels.npz. DataError if absent or outside 0..9."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            labels = {part: stored[f"{part}_labels"].astype(np.int64) for part in ("train", "test")}
    except (OSError, KeyError, ValueError) as error:
        raise bad_file(path, f"no labels: {error}") from None
    for part, values in labels.items():
        if bad := [row for row, value in enumerate(values) if not 0 <= value <= 9]:
            raise bad_file(path, f"{part} row {bad[0]}: label {values[bad[0]]} is outside 0..9")
    return labels
