"""Arrays of MATLAB files (versions 4 to 7) by scipy, and SVHN, which consists of two such files. Netzer et al. 2011,
ufldl.stanford.edu/housenumbers."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from transfer_cli.data.contracts import bad_file
from transfer_cli.extras import extra


def read_mat(path: Path, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of a .mat file, only `names` where given. DataError if the file is no .mat; ConfigError without
    scipy."""
    scipy = extra("scipy.io", "scipy", str(path))
    try:
        found = scipy.loadmat(path, variable_names=None if names is None else list(names))
    except NotImplementedError:
        raise bad_file(path, "a MATLAB 7.3 file (HDF5); wants version 5 to 7: save(..., '-v7')") from None
    except Exception as error:  # scipy fails in many ways on what is no .mat file
        raise bad_file(path, f"not readable as .mat: {error}") from None
    return {name: np.asarray(value) for name, value in found.items() if not name.startswith("__")}


def svhn_labels(path: Path) -> np.ndarray:
    """int64 [N], 0..9: the file says 10 for the digit 0. DataError names the first row that is out of range."""
    labels = _array(path, "y").reshape(-1)
    if bad := np.flatnonzero((labels < 1) | (labels > 10)).tolist():
        raise bad_file(path, f"row {bad[0] + 1}: label {labels[bad[0]]:g} is outside 1..10")
    return labels.astype(np.int64) % 10


def svhn_pixels(path: Path) -> np.ndarray:
    """uint8 [N, 32, 32, 3]; stored as [32, 32, 3, N]."""
    pixels = _array(path, "X")
    if pixels.dtype != np.uint8 or pixels.shape[:3] != (32, 32, 3) or pixels.ndim != 4:
        raise bad_file(path, f"X is {pixels.dtype} {list(pixels.shape)}, want uint8 [32, 32, 3, N]")
    return pixels.transpose(3, 0, 1, 2)


def _array(path: Path, name: str) -> np.ndarray:
    found = read_mat(path, [name])
    if name not in found or found[name].dtype.kind not in "uif":
        raise bad_file(path, f"has no array {name} of numbers")
    return found[name]
