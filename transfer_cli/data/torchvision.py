"""Data sets in the layout of torchvision's downloads, read without torchvision: mnist, usps, cifar10."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from transfer_cli.data.cache import digests, remember
from transfer_cli.data.cifar import BATCHES, read_batch, read_labels, read_sheets
from transfer_cli.data.idx import read_idx
from transfer_cli.data.raw import Places, Raw, RawPart, bad_file, digit_names, numbered
from transfer_cli.data.usps import read_usps

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FULL = 50_000  # training pictures of CIFAR-10
SHEETS = {part: [f"{part}_{sheet:02}.webp" for sheet in range(4)] for part in ("train", "test")}


class Torchvision:
    """A published image data set in torchvision's own folder layout."""

    def __init__(self, *, name: Literal["mnist", "usps", "cifar10"]) -> None:
        self.name = name

    def open(self, places: Places) -> Raw:
        """Raw with parts train and test. DataError if a file is missing or not what it should be."""
        files = locate(self.name, places)
        return {"mnist": _mnist, "usps": _usps, "cifar10": _cifar10}[self.name](files, places)


Files = dict[str, list[Path]]


def locate(name: str, places: Places) -> Files:
    """part -> its files. DataError if one is in none of the places."""
    return {"mnist": _mnist_files, "usps": _usps_files, "cifar10": _cifar10_files}[name](places)


def _mnist_files(places: Places) -> Files:
    kinds = ("images-idx3", "labels-idx1")
    stems = {"train": "train", "test": "t10k"}
    return {part: [_idx(places, f"{stem}-{kind}-ubyte") for kind in kinds] for part, stem in stems.items()}


def _idx(places: Places, stem: str) -> Path:
    layouts = [f"{folder}{stem}{end}" for folder in ("MNIST/raw/", "raw/", "") for end in ("", ".gz")]
    return places.need("mnist", f"MNIST/raw/{stem}.gz", 12, *layouts)


def _mnist(files: Files, places: Places) -> Raw:
    parts = {
        part: RawPart(_labels(names), numbered("mnist", part), pixels=partial(_images, images, names))
        for part, (images, names) in files.items()
    }
    return Raw("mnist", digit_names(), parts, _all(files), flip=False)


def _all(files: Files) -> tuple[Path, ...]:
    return tuple(path for paths in files.values() for path in paths)


def _labels(path: Path) -> np.ndarray:
    labels = read_idx(path).astype(np.int64)
    if labels.ndim != 1 or not len(labels):
        raise bad_file(path, f"shape {list(labels.shape)}, want a row of labels")
    if labels.max() > 9:
        row = int(np.argmax(labels > 9))
        raise bad_file(path, f"row {row + 1}: label {labels[row]} is outside 0..9")
    return labels


def _images(images: Path, names: Path) -> np.ndarray:
    pixels, count = read_idx(images), len(read_idx(names))
    if pixels.ndim != 3 or len(pixels) != count:
        raise bad_file(images, f"shape {list(pixels.shape)}, want {count:,} pictures as {names.name} has labels")
    return pixels


def _usps_files(places: Places) -> Files:
    files = {"train": "usps.bz2", "test": "usps.t.bz2"}
    return {part: [places.need("usps", file, 8, file, f"USPS/{file}")] for part, file in files.items()}


def _usps(files: Files, places: Places) -> Raw:
    parts = {part: _remembered("usps", part, paths, read_usps, (16, 16), places.cache) for part, paths in files.items()}
    return Raw("usps", digit_names(), parts, _all(files), flip=False)


def _cifar10_files(places: Places) -> Files:
    """The five published batches and test, else sheets (labels.npz first in both parts)."""
    found = [places.find("cifar10", f"cifar-10-batches-py/{file}", file) for file in BATCHES]
    batches = [path for path in found if path]
    if len(batches) == len(BATCHES):
        return {"train": batches[:5], "test": batches[5:]}
    labels = places.need("cifar10", "cifar-10-python.tar.gz", 171, "labels.npz")
    sheets = {part: [labels, *(labels.parent / file for file in files)] for part, files in SHEETS.items()}
    if gone := [path for path in _all(sheets) if not path.is_file()]:
        raise bad_file(gone[0], "missing beside labels.npz")
    return sheets


def _cifar10(files: Files, places: Places) -> Raw:
    if files["test"][0].suffix == ".npz":
        return _from_sheets(files)
    shape = (3, 32, 32)
    parts = {
        part: _remembered("cifar10", part, paths, read_batch, shape, places.cache) for part, paths in files.items()
    }
    return Raw("cifar10", CIFAR10, parts, _all(files))


def _from_sheets(files: Files) -> Raw:
    rows = read_labels(files["train"][0])
    parts = {
        part: RawPart(rows[part], numbered("cifar10", part), pixels=partial(read_sheets, paths))
        for part, (_, *paths) in files.items()
    }
    short = len(rows["train"]) < FULL
    note = f"train {len(rows['train']):,} of {FULL:,}" if short else ""
    return Raw("cifar10", CIFAR10, parts, tuple(dict.fromkeys(_all(files))), note=note)


def _remembered(
    name: str, part: str, paths: list[Path], read: Callable[[Path], np.ndarray], shape: tuple[int, ...], cache: Path
) -> RawPart:
    """A part whose labels come with its pixels: both are kept, because reading labels alone costs as much."""
    key = f"{name} {' '.join(digests(paths, cache).values())}"

    def table() -> np.ndarray:
        return np.concatenate([read(path) for path in paths])

    def pixels() -> np.ndarray:
        images = np.asarray(remember(cache, f"{key} table", table))[:, 1:].reshape(-1, *shape)
        return images.transpose(0, 2, 3, 1) if images.ndim == 4 else images

    labels = remember(cache, f"{key} labels", lambda: remember(cache, f"{key} table", table)[:, 0].astype(np.int64))
    return RawPart(np.asarray(labels), numbered(name, part), pixels=pixels)
