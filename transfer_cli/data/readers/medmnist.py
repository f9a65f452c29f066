"""MedMNIST: medical pictures of 28 to 224 pixels, grey or colour, a .npz a set with arrays train_images, train_labels,
val_images and so on. Yang et al. 2023, Scientific Data 10:41, medmnist.com."""

from functools import partial
from pathlib import Path

import numpy as np

from transfer_cli.data.contracts import PARTS, Places, Raw, RawPart, bad_file, missing, numbered, with_test
from transfer_cli.data.formats.npz import keys_of, numbered_classes, read_array
from transfer_cli.errors import DataError, Fault

NAMES = {"pneumoniamnist": ("normal", "pneumonia")}  # as medmnist.com has them


class Medmnist:
    """One set: `path`, or the file `name`.npz of the data folder. `names` are the classes in the order of the labels;
    null: the published names of a known set, else the labels. Pictures are not mirrored, because some classes differ
    only in left and right."""

    def __init__(
        self, *, path: str | None = None, name: str = "pneumoniamnist", names: list[str] | None = None
    ) -> None:
        self.path, self.name, self.names = path, name, names

    def open(self, places: Places) -> Raw:
        """Raw with the labels of all parts; no picture is read. DataError if the file is missing, has no train part,
        or has several labels a picture."""
        file = self._file(places)
        keys = keys_of(file)
        found = {part: _labels(file, f"{part}_labels") for part in PARTS if f"{part}_images" in keys}
        if "train" not in found:
            raise bad_file(file, f"no array train_images; arrays: {', '.join(keys) or 'none'}")
        known = NAMES.get(self.name) if self.path is None else None
        classes, labels = numbered_classes(file, found, self.names or known)
        title = self.path or self.name
        parts = {
            part: RawPart(rows, numbered(title, part), rows=partial(_pixels, file, part))
            for part, rows in labels.items()
        }
        layout = f"arrays of pictures, parts {', '.join(parts)}"
        return Raw(title, classes, with_test(parts), (file,), flip=False, layout=layout)

    def _file(self, places: Places) -> Path:
        if self.path is not None:
            if not (path := Path(self.path).expanduser()).is_file():
                raise DataError(Fault(places.word, "no such file", self.path))
            return path
        if not self.name.isidentifier():
            raise DataError(Fault(f"{places.word}.name", "is not the name of a MedMNIST set", self.name))
        found = places.find("medmnist", f"{self.name}.npz")
        if found is None:
            raise DataError(missing(places.word, self.name, f"medmnist/{self.name}.npz", 5, fetch=False))
        return found


def _labels(file: Path, name: str) -> np.ndarray:
    labels = read_array(file, name)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "ui":
        raise bad_file(file, f"{name} is {labels.dtype} {list(labels.shape)}, want one whole number a picture")
    return labels


def _pixels(file: Path, part: str) -> np.ndarray:
    """uint8 [N, H, W] or [N, H, W, 3]."""
    pixels = read_array(file, f"{part}_images")
    if pixels.dtype != np.uint8 or not (pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[3] == 3)):
        shape = f"{pixels.dtype} {list(pixels.shape)}"
        raise bad_file(file, f"{part}_images is {shape}, want uint8 [N, H, W] or [N, H, W, 3]")
    return pixels
