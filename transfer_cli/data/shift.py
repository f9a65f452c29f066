"""Artificial domain shifts for pictures: rotated, coloured, blended, noisy or inverted. The result depends only on the
row, the part and the shift, never on the seed of a run. It is computed once from the pictures at the net's input size,
and cached. No torch."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from transfer_cli.data.array_cache import remember
from transfer_cli.data.formats.decode import grey
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.seeds import seed_for

PIXELS = 1  # increment when a shift returns other pixels for the same input
CHUNK = 1000  # rows per random generator, so that a row's draws depend on its position, not on the number of rows
AMOUNTS = {"rotated": (45.0, -180.0, 180.0), "noisy": (0.3, 0.0, 1.0)}  # shift -> default, lowest, highest
PHOTOS = ("china.jpg", "flower.jpg")


class Shift(NamedTuple):
    """A shift and its strength. `amount`: degrees counter-clockwise (rotated) or the standard deviation of the noise
    for pixels in [0, 1] (noisy); None for other kinds."""

    kind: str
    amount: float | None

    @classmethod
    def of(cls, kind: str, amount: float | None, word: str) -> "Shift":
        """A shift from the keys of the data node `word`; `amount` None is the default. Raises ConfigError if the amount
        is out of range or the kind has none."""
        if kind not in AMOUNTS:
            if amount is not None:
                text = f"{kind} has no amount; {' and '.join(AMOUNTS)} have one"
                raise ConfigError(Fault(f"{word}.shift_amount", text, f"{amount:g}"))
            return cls(kind, None)
        usual, low, high = AMOUNTS[kind]
        if amount is not None and not low <= amount <= high:
            raise ConfigError(Fault(f"{word}.shift_amount", f"of {kind}: {low:g} to {high:g}", f"{amount:g}"))
        return cls(kind, usual if amount is None else amount)

    def __str__(self) -> str:
        """`blended`, `rotated`, or `rotated 30` if the amount is not the default."""
        usual = self.amount is None or self.amount == AMOUNTS[self.kind][0]
        return self.kind if usual else f"{self.kind} {self.amount:g}"

    def fingerprint(self, content: str) -> str:
        """sha256 (hex) of the shifted data, from the fingerprint `content` of the original data."""
        return sha256(f"{content} shift {PIXELS} {self.kind} {self.amount}".encode()).hexdigest()

    def applied(self, pixels: np.ndarray, part: str) -> np.ndarray:
        """uint8 [N, C, H, W], all rows of a raw part, C 1 or 3 -> the same shape. Raises DataError for pictures larger
        than the photos used by "blended", ConfigError if that shift needs scikit-learn and it is missing."""
        out = np.empty_like(pixels)
        for number, start in enumerate(range(0, len(pixels), CHUNK)):
            rows = slice(start, start + CHUNK)
            draws = np.random.Philox(key=seed_for(0, "shift", self.kind, part, number))
            out[rows] = SHIFTS[self.kind](np.asarray(pixels[rows]), draws, self.amount or 0.0)
        return out


def shifted(pixels: np.ndarray, shift: Shift, content: str, part: str, cache: Path) -> np.ndarray:
    """Applies `shift` to the pictures of a raw part, and caches the result. `content` identifies `pixels` in the
    cache."""
    key = f"shift {PIXELS} {shift.kind} {shift.amount} {content} {part}"
    return remember(cache, key, lambda: shift.applied(pixels, part))


def _uniform(draws: np.random.Philox, *shape: int) -> np.ndarray:
    """Random numbers in [0, 1) from raw Philox words, whose stream is the same in all numpy versions."""
    count = int(np.prod(shape))
    numbers: np.ndarray = (draws.random_raw(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers.reshape(shape)


def _rotated(pixels: np.ndarray, draws: np.random.Philox, degrees: float) -> np.ndarray:
    """Rotates all pictures by the same angle, bilinear, with black outside the border (rotated MNIST: Ghifary et al.
    2015, arXiv:1508.07680)."""
    turned = [[_turn(channel, degrees) for channel in picture] for picture in pixels]
    return np.array(turned, np.uint8).reshape(pixels.shape)


def _turn(channel: np.ndarray, degrees: float) -> np.ndarray:
    return np.asarray(Image.fromarray(channel).rotate(degrees, Image.Resampling.BILINEAR))


def _inverted(pixels: np.ndarray, draws: np.random.Philox, amount: float) -> np.ndarray:
    return 255 - pixels


def _noisy(pixels: np.ndarray, draws: np.random.Philox, deviation: float) -> np.ndarray:
    """Adds Gaussian noise (Box-Muller transform) to every value, clipped to the range of pixels."""
    out = np.empty_like(pixels)
    for row, picture in enumerate(pixels):
        radius, angle = _uniform(draws, 2, *picture.shape)
        noise = np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * np.pi * angle)
        out[row] = np.clip(picture + 255 * deviation * noise + 0.5, 0, 255)
    return out


def _coloured(pixels: np.ndarray, draws: np.random.Philox, amount: float) -> np.ndarray:
    """Tints each picture with a random colour whose largest channel is 1. The colour is independent of the class."""
    colours = _uniform(draws, len(pixels), 3)
    colours = np.round(255 * colours / colours.max(1, keepdims=True)).astype(np.uint8)
    tint = colours if pixels.shape[1] == 3 else grey(colours)[:, None]
    return np.round(pixels * (tint[:, :, None, None] / 255)).astype(np.uint8)


def _blended(pixels: np.ndarray, draws: np.random.Philox, amount: float) -> np.ndarray:
    """|picture - patch|, with a random patch of a photo for each picture, as in MNIST-M (Ganin et al. 2016,
    arXiv:1505.07818, which uses the 500 photos of BSDS500; here the two photos of scikit-learn)."""
    photos, (height, width) = _photos(), pixels.shape[2:]
    high, wide = photos.shape[1:3]
    if height > high or width > wide:
        text = f"patches are cut from photos of {wide} x {high}, the net takes pictures of {width} x {height}"
        raise DataError(Fault("shift", text, "blended", do=f"model.input.crop={high} or less"))
    out = np.empty_like(pixels)
    places = (_uniform(draws, len(pixels), 3) * [len(photos), high - height + 1, wide - width + 1]).astype(np.int64)
    for row, (photo, top, left) in enumerate(places.tolist()):
        patch = photos[photo, top : top + height, left : left + width]
        own = patch.transpose(2, 0, 1) if pixels.shape[1] == 3 else grey(patch)[None]
        out[row] = np.abs(pixels[row].astype(np.int16) - own)
    return out


def _photos() -> np.ndarray:
    """uint8 [2, 427, 640, 3]. Raises ConfigError without scikit-learn."""
    try:
        from sklearn.datasets import load_sample_image
    except ImportError:
        text = "needs an extra: pip install 'transfer-cli[photos]'"
        raise ConfigError(Fault("shift=blended", text)) from None
    return np.stack([load_sample_image(name) for name in PHOTOS])


Draw = Callable[[np.ndarray, np.random.Philox, float], np.ndarray]
SHIFTS: dict[str, Draw] = {
    "rotated": _rotated,
    "coloured": _coloured,
    "blended": _blended,
    "noisy": _noisy,
    "inverted": _inverted,
}
