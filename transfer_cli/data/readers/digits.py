"""Handwritten digits that come with the package: 1,797 grey pictures of 8x8, 10 classes.
E. Alpaydin & C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998; the copy of scikit-learn's load_digits."""

from pathlib import Path

import numpy as np

from transfer_cli.data.contracts import Places, Raw, RawPart, digit_names, numbered

FILE = Path(__file__).with_name("digits.npz")


class Digits:
    """8x8 digits, offline; test is 20 % of every class, cut by split_seed."""

    def open(self, places: Places) -> Raw:
        with np.load(FILE, allow_pickle=False) as stored:
            labels = stored["labels"].astype(np.int64)
        rows = RawPart(labels, numbered("digits", "all"), rows=_pixels)
        return Raw("digits", digit_names(), {"train": rows}, (FILE,), flip=False, test_fraction=0.2)


def _pixels() -> np.ndarray:
    """uint8 [1797, 8, 8]; stored values are 0..16 and are stretched to 0..255."""
    with np.load(FILE, allow_pickle=False) as stored:
        images: np.ndarray = stored["images"]
    return np.rint(images * (255 / 16)).astype(np.uint8)
