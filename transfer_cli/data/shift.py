"""Another domain made of any pictures: rotated, coloured, blended, noisy or inverted versions of them. What a row
becomes depends on the row, the part and the shift alone, never on a run's seed; it is worked out once, on the pictures
as the net takes them, and kept in the cache. No torch."""

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

PIXELS = 1  # raise when a shift gives other pixels from the same input
CHUNK = 1000  # rows that share a generator: a row's draws depend on its place alone, not on how many rows there are
AMOUNTS = {"rotated": (45.0, -180.0, 180.0), "noisy": (0.3, 0.0, 1.0)}  # shift -> default, lowest, highest
PHOTOS = ("china.jpg", "flower.jpg")


class Shift(NamedTuple):
    """`kind`, and how much: `amount` is degrees counter-clockwise (rotated) or the standard deviation of the noise, of
    pixels in [0, 1] (noisy); None where there is nothing to say."""

    kind: str
    amount: float | None

    @classmethod
    def of(cls, kind: str, amount: float | None, word: str) -> "Shift":
        """As the keys of a data node say it. Raises ConfigError for an amount that cannot be."""
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
        """`blended`, `rotated`, `rotated 30` where it is not the usual amount."""
        usual = self.amount is None or self.amount == AMOUNTS[self.kind][0]
        return self.kind if usual else f"{self.kind} {self.amount:g}"

    def fingerprint(self, content: str) -> str:
        """sha256 (hex) of shifted content."""
        return sha256(f"{content} shift {PIXELS} {self.kind} {self.amount}".encode()).hexdigest()

    def applied(self, pixels: np.ndarray, part: str) -> np.ndarray:
        """uint8 [N, C, H, W], all rows of a raw part, with C 1 or 3 -> the same shape. DataError for pictures larger
        than the photos that are blended in."""
        out = np.empty_like(pixels)
        for number, start in enumerate(range(0, len(pixels), CHUNK)):
            rows = slice(start, start + CHUNK)
            draws = np.random.Philox(key=seed_for(0, "shift", self.kind, part, number))
            out[rows] = SHIFTS[self.kind](np.asarray(pixels[rows]), draws, self.amount or 0.0)
        return out


def shifted(pixels: np.ndarray, shift: Shift, content: str, part: str, cache: Path) -> np.ndarray:
    """`shift` applied to the pictures of a raw part, kept in the cache. `content` says all that decides `pixels`."""
    key = f"shift {PIXELS} {shift.kind} {shift.amount} {content} {part}"
    return remember(cache, key, lambda: shift.applied(pixels, part))


def _uniform(draws: np.random.Philox, *shape: int) -> np.ndarray:
    """Numbers in [0, 1) from raw words, whose stream is fixed by Philox's paper."""
    count = int(np.prod(shape))
    numbers: np.ndarray = (draws.random_raw(count) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers.reshape(shape)


def _rotated(pixels: np.ndarray, draws: np.random.Philox, degrees: float) -> np.ndarray:
    """All by the same angle, bilinear, what comes in from outside is black (rotated MNIST: Ghifary et al. 2015,
    arXiv:1508.07680)."""
    turned = [[_turn(channel, degrees) for channel in picture] for picture in pixels]
    return np.array(turned, np.uint8).reshape(pixels.shape)


def _turn(channel: np.ndarray, degrees: float) -> np.ndarray:
    return np.asarray(Image.fromarray(channel).rotate(degrees, Image.Resampling.BILINEAR))


def _inverted(pixels: np.ndarray, draws: np.random.Philox, amount: float) -> np.ndarray:
    return 255 - pixels


def _noisy(pixels: np.ndarray, draws: np.random.Philox, deviation: float) -> np.ndarray:
    """Gaussian noise on every value, cut to what a pixel can be; by the formula of Box and Muller."""
    out = np.empty_like(pixels)
    for row, picture in enumerate(pixels):
        radius, angle = _uniform(draws, 2, *picture.shape)
        noise = np.sqrt(-2 * np.log1p(-radius)) * np.cos(2 * np.pi * angle)
        out[row] = np.clip(picture + 255 * deviation * noise + 0.5, 0, 255)
    return out


def _coloured(pixels: np.ndarray, draws: np.random.Philox, amount: float) -> np.ndarray:
    """Each picture tinted with a colour of its own, its strongest channel as bright as before. The colour says nothing
    of the class."""
    colours = _uniform(draws, len(pixels), 3)
    colours = np.round(255 * colours / colours.max(1, keepdims=True)).astype(np.uint8)
    tint = colours if pixels.shape[1] == 3 else grey(colours)[:, None]
    return np.round(pixels * (tint[:, :, None, None] / 255)).astype(np.uint8)


def _blended(pixels: np.ndarray, draws: np.random.Philox, amount: float) -> np.ndarray:
    """|picture - patch|, the patch from a place of its own in a photo, as MNIST-M is made (Ganin et al. 2016,
    arXiv:1505.07818, from the 500 photos of BSDS500; here from the two that come with scikit-learn)."""
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
