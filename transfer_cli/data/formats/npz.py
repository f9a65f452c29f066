"""Arrays of .npz files: Python objects (pickles) are never opened. Also turns labels as stored into classes."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from transfer_cli.data.contracts import bad_file
from transfer_cli.errors import DataError, Fault, nearest


def keys_of(path: Path) -> list[str]:
    """Names of the arrays, without reading one. DataError if it is no .npz."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise bad_file(path, f"not readable as .npz: {error}") from None


def read_array(path: Path, name: str) -> np.ndarray:
    """One array. DataError if it is absent, damaged, or holds Python objects."""
    if name not in (known := keys_of(path)):
        raise DataError(
            Fault(str(path), f"no array {name}; arrays: {', '.join(known) or 'none'}", nearest=nearest(name, known))
        )
    try:
        with np.load(path, allow_pickle=False) as stored:
            return np.asarray(stored[name])
    except Exception as error:  # zip, zlib and numpy fail in many ways on a damaged file
        objects = "allow_pickle" in str(error)
        text = "holds Python objects, which are never opened" if objects else f"not readable: {error}"
        raise bad_file(path, f"array {name} {text}") from None


def numbered_classes(
    path: Path, found: Mapping[str, np.ndarray], names: Sequence[str] | None = None
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """The classes, and the labels int64 [N] of every part as positions in them. `found`: part -> labels as stored,
    numbers or words [N]. The classes are the labels of train in order, named `names` where given. DataError for labels
    that train lacks, labels that are no whole numbers, or another number of names."""
    known = np.unique(_whole(path, "train", found["train"]))
    classes = tuple(map(str, known.tolist()))
    if names is not None and len(names) != len(classes):
        text = f"{len(names)} names for {len(classes)} labels: {', '.join(classes[:8])}"
        raise DataError(Fault("data.names", text))
    numbers = {}
    for part, labels in found.items():
        wanted = _whole(path, part, labels)
        place = np.searchsorted(known, wanted).clip(max=len(known) - 1)
        if odd := np.flatnonzero(known[place] != wanted).tolist():
            raise bad_file(path, f"{part} row {odd[0] + 1}: label {wanted[odd[0]]} is not in train")
        numbers[part] = place.astype(np.int64)
    return tuple(names or classes), numbers


def _whole(path: Path, part: str, labels: np.ndarray) -> np.ndarray:
    """Labels as whole numbers or words [N]; MATLAB keeps them as float64."""
    if labels.dtype.kind == "S":
        return np.char.decode(labels, "utf-8", "replace")
    if labels.dtype.kind == "f":
        if odd := np.flatnonzero(labels != np.rint(labels)).tolist():
            raise bad_file(path, f"{part} row {odd[0] + 1}: label {labels[odd[0]]:g} is no whole number")
        return labels.astype(np.int64)
    return labels
