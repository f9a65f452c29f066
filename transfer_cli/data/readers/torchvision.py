"""Data sets in the layout of torchvision's downloads, read without torchvision: sets of idx files (mnist,
fashion_mnist, kmnist), usps, svhn, cifar10, cifar100."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from transfer_cli.data.cache import digests, remember
from transfer_cli.data.contracts import Places, Raw, RawPart, bad_file, digit_names, numbered
from transfer_cli.data.formats.cifar import BATCHES, HUNDRED, read_batch, read_labels, read_names, read_sheets
from transfer_cli.data.formats.idx import read_idx
from transfer_cli.data.formats.mat import svhn_labels, svhn_pixels
from transfer_cli.data.formats.usps import read_usps

Name = Literal["mnist", "fashion_mnist", "kmnist", "usps", "svhn", "cifar10", "cifar100"]
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
KUZUSHIJI = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
FULL = 50_000  # training pictures of CIFAR-10
FULL_IDX = 60_000  # of each set of idx files
SHEETS = {part: [f"{part}_{sheet:02}.webp" for sheet in range(4)] for part in ("train", "test")}


class Torchvision:
    """A published image data set in torchvision's own folder layout."""

    def __init__(self, *, name: Name) -> None:
        self.name = name

    def open(self, places: Places) -> Raw:
        """Raw with parts train and test. DataError if a file is missing or not what it should be."""
        return KNOWN[self.name].read(self.name, locate(self.name, places), places)


Files = dict[str, list[Path]]


def locate(name: str, places: Places) -> Files:
    """part -> its files; for kmnist the test files are enough. DataError if a file is missing."""
    return KNOWN[name].files(name, places)


def _all(files: Files) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(path for paths in files.values() for path in paths))


def _short(count: int, full: int) -> str:
    return f"train {count:,} of {full:,}" if count < full else ""


class Idx(NamedTuple):
    """A set of idx files: torchvision's folder, the classes, megabytes, whether pictures may be mirrored."""

    folder: str
    classes: tuple[str, ...]
    mb: float
    flip: bool = False


IDX = {
    "mnist": Idx("MNIST", digit_names(), 12),
    "fashion_mnist": Idx("FashionMNIST", FASHION, 31, flip=True),
    "kmnist": Idx("KMNIST", KUZUSHIJI, 21),
}


def _idx_files(name: str, places: Places) -> Files:
    train, test = ([f"{stem}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")] for stem in ("train", "t10k"))
    alone = name == "kmnist" and _here(name, places, test) == 2 and not _here(name, places, train)
    wanted = {"test": test} if alone else {"train": train, "test": test}
    return {part: [_need_idx(name, places, file) for file in files] for part, files in wanted.items()}


def _here(name: str, places: Places, files: list[str]) -> int:
    return sum(places.find(name, *_layouts(name, file)) is not None for file in files)


def _need_idx(name: str, places: Places, file: str) -> Path:
    return places.need(name, f"{IDX[name].folder}/raw/{file}.gz", IDX[name].mb, *_layouts(name, file))


def _layouts(name: str, file: str) -> list[str]:
    """Places of a file. All sets use the same file names, so only those of MNIST may lie outside a folder of their
    own."""
    folders = (f"{IDX[name].folder}/raw/", *(("raw/", "") if name == "mnist" else (f"{name}/raw/", f"{name}/")))
    return [f"{folder}{file}{end}" for folder in folders for end in ("", ".gz")]


def _idx(name: str, files: Files, places: Places) -> Raw:
    one = IDX[name]
    parts = {
        part: RawPart(_labels(labels), numbered(name, part), rows=partial(_images, images, labels))
        for part, (images, labels) in files.items()
    }
    if "train" not in parts:
        count = len(parts["test"].labels)
        note = f"no training files: train and test are cut from the {count:,} test pictures, 80 % and 20 %"
        parts = {"train": parts["test"]}
        return Raw(name, one.classes, parts, _all(files), flip=one.flip, test_fraction=0.2, note=note)
    note = _short(len(parts["train"].labels), FULL_IDX)
    return Raw(name, one.classes, parts, _all(files), flip=one.flip, note=note)


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


def _usps_files(name: str, places: Places) -> Files:
    files = {"train": "usps.bz2", "test": "usps.t.bz2"}
    return {part: [places.need(name, file, 8, file, f"USPS/{file}")] for part, file in files.items()}


def _usps(name: str, files: Files, places: Places) -> Raw:
    parts = {part: _remembered(name, part, paths, read_usps, (16, 16), places.cache) for part, paths in files.items()}
    return Raw(name, digit_names(), parts, _all(files), flip=False)


def _svhn_files(name: str, places: Places) -> Files:
    files = {"train": ("train_32x32.mat", 182), "test": ("test_32x32.mat", 64)}
    return {part: [places.need(name, file, mb, file, f"SVHN/{file}")] for part, (file, mb) in files.items()}


def _svhn(name: str, files: Files, places: Places) -> Raw:
    parts = {}
    for part, (path,) in files.items():
        key = f"svhn labels {digests([path], places.cache)[path]}"
        labels = remember(places.cache, key, partial(svhn_labels, path))
        parts[part] = RawPart(np.asarray(labels), numbered(name, part), rows=partial(svhn_pixels, path))
    return Raw(name, digit_names(), parts, _all(files), flip=False)


def _cifar10_files(name: str, places: Places) -> Files:
    """The five published batches and test, else sheets (labels.npz first in both parts)."""
    found = [places.find(name, f"cifar-10-batches-py/{file}", file) for file in BATCHES]
    batches = [path for path in found if path]
    if len(batches) == len(BATCHES):
        return {"train": batches[:5], "test": batches[5:]}
    labels = places.need(name, "cifar-10-python.tar.gz", 171, "labels.npz")
    sheets = {part: [labels, *(labels.parent / file for file in files)] for part, files in SHEETS.items()}
    if gone := [path for path in _all(sheets) if not path.is_file()]:
        raise bad_file(gone[0], "missing beside labels.npz")
    return sheets


def _cifar10(name: str, files: Files, places: Places) -> Raw:
    if files["test"][0].suffix == ".npz":
        return _from_sheets(name, files)
    return Raw(name, CIFAR10, _batches(name, files, places), _all(files))


def _batches(name: str, files: Files, places: Places) -> dict[str, RawPart]:
    shape = (3, 32, 32)
    return {part: _remembered(name, part, paths, read_batch, shape, places.cache) for part, paths in files.items()}


def _from_sheets(name: str, files: Files) -> Raw:
    rows = read_labels(files["train"][0])
    parts = {
        part: RawPart(rows[part], numbered(name, part), rows=partial(read_sheets, paths))
        for part, (_, *paths) in files.items()
    }
    return Raw(name, CIFAR10, parts, _all(files), note=_short(len(rows["train"]), FULL))


def _cifar100_files(name: str, places: Places) -> Files:
    """The files train, test, and meta, which holds the names of the classes."""
    archive = "cifar-100-python.tar.gz"
    return {file: [places.need(name, archive, 169, f"cifar-100-python/{file}")] for file in HUNDRED}


def _cifar100(name: str, files: Files, places: Places) -> Raw:
    rows = {part: files[part] for part in ("train", "test")}
    return Raw(name, read_names(*files["meta"]), _batches(name, rows, places), _all(files))


def _remembered(
    name: str, part: str, paths: list[Path], read: Callable[[Path], np.ndarray], shape: tuple[int, ...], cache: Path
) -> RawPart:
    """A part whose labels are stored with its pixels: both are cached, because reading labels alone takes as long."""
    key = f"{name} {' '.join(digests(paths, cache).values())}"

    def table() -> np.ndarray:
        return np.concatenate([read(path) for path in paths])

    def pixels() -> np.ndarray:
        images = np.asarray(remember(cache, f"{key} table", table))[:, 1:].reshape(-1, *shape)
        return images.transpose(0, 2, 3, 1) if images.ndim == 4 else images

    labels = remember(cache, f"{key} labels", lambda: remember(cache, f"{key} table", table)[:, 0].astype(np.int64))
    return RawPart(np.asarray(labels), numbered(name, part), rows=pixels)


class Known(NamedTuple):
    """How a set is found, and how it is read."""

    files: Callable[[str, Places], Files]
    read: Callable[[str, Files, Places], Raw]


KNOWN = {
    **dict.fromkeys(IDX, Known(_idx_files, _idx)),
    "usps": Known(_usps_files, _usps),
    "svhn": Known(_svhn_files, _svhn),
    "cifar10": Known(_cifar10_files, _cifar10),
    "cifar100": Known(_cifar100_files, _cifar100),
}
