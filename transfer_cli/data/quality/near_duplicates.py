"""Finds pictures that look the same: a hash of each finds candidates, a small version confirms them. PIL and numpy.
Finds copies that were saved again, scaled or brightened; not cropped, rotated or mirrored ones, which augmentation
makes too. The hash says which of the lowest frequencies are strong. Hashes that differ in at most `FAR` of 64 bits
share one of 8 bytes, so only such pictures are compared (multi-index hashing; Norouzi et al. 2012, arXiv:1307.2982)."""

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from transfer_cli.data.groups import Groups

SIDE = 16  # a small version, SIDE x SIDE in colour
FAR = 7  # bits; 8 bands find every pair up to it
SURE = 2.0  # deviations of the picture: a coefficient below is noise, and so is its sign
FLAT = 4.0  # grey levels: less contrast is a blank, and blanks are no copies of one another
# Of pictures with mean 0 and deviation 1: root mean square, and largest, difference of a copy's points. JPEG of
# quality 40 and half the size stay below (98 %); no two of 10,000 handwritten digits come as near.
NEAR, NEAREST_POINT = 0.09, 0.4
COARSE = 4  # means of 4 x 4 points, which can only be nearer than the points themselves
CHUNK = 4096


def small(picture: Image.Image) -> np.ndarray:
    """uint8 [SIDE, SIDE, 3]: the mean colours of equal parts."""
    return np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX))


def alike(pictures: np.ndarray) -> np.ndarray:
    """Small versions uint8 [N, SIDE, SIDE, 3] -> int64 [N], equal numbers for pictures that look the same."""
    groups = Groups(len(pictures))
    mean, deviation = _moments(pictures)
    lively = np.flatnonzero(deviation >= FLAT)
    points = np.ascontiguousarray(pictures[lively]).reshape(len(lively), SIDE * SIDE * 3)
    _, first, same = np.unique(points.view(f"V{SIDE * SIDE * 3}")[:, 0], return_index=True, return_inverse=True)
    groups.join(lively, lively[first[same]])

    def standard(rows: np.ndarray) -> np.ndarray:
        """Pictures with mean 0 and deviation 1 over all points and colours, so that brightness and contrast do not
        count."""
        shifted: np.ndarray = (pictures[rows] - mean[rows, None, None, None]) / deviation[rows, None, None, None]
        return shifted

    rows = lively[first]
    hashes, coarse = _hashes(pictures, deviation, rows), _coarse(standard, rows)
    for left, right in _met(hashes):
        likely = np.square(coarse[left] - coarse[right]).mean(axis=1) <= NEAR**2
        left, right = rows[left[likely]], rows[right[likely]]
        for start in range(0, len(left), CHUNK):
            one, two = left[start : start + CHUNK], right[start : start + CHUNK]
            apart = groups.of[one] != groups.of[two]
            one, two = one[apart], two[apart]
            sure = _same(standard(one), standard(two))
            groups.join(one[sure], two[sure])
    return groups.of


def _chunks(rows: np.ndarray) -> Iterator[np.ndarray]:
    """Rows in chunks that need little memory; without rows, one empty chunk."""
    for at in range(0, max(1, len(rows)), CHUNK):
        yield rows[at : at + CHUNK]


def _moments(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 [N] each: mean and standard deviation."""
    mean = [piece.mean(axis=(1, 2, 3), dtype=np.float32) for piece in _chunks(pictures)]
    deviation = [piece.std(axis=(1, 2, 3), dtype=np.float32) for piece in _chunks(pictures)]
    return np.concatenate(mean), np.concatenate(deviation)


def _hashes(pictures: np.ndarray, deviation: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """uint8 [N, 8]: a bit for each of the 8 x 8 lowest coefficients of the cosine transform: is it above noise? The
    mean is left out."""
    waves = np.cos(np.pi / SIDE * np.arange(8)[:, None] * (np.arange(SIDE) + 0.5)).astype(np.float32)
    pieces = []
    for some in _chunks(rows):
        coefficients = waves @ pictures[some].mean(axis=3, dtype=np.float32) @ waves.T
        pieces.append((coefficients > SURE * deviation[some, None, None]).reshape(-1, 64))
    signs = np.concatenate(pieces)
    signs[:, 0] = False
    return np.packbits(signs, axis=1)


def _coarse(standard: Callable[[np.ndarray], np.ndarray], rows: np.ndarray) -> np.ndarray:
    step = SIDE // COARSE
    blocks = (standard(some).reshape(-1, COARSE, step, COARSE, step, 3) for some in _chunks(rows))
    return np.concatenate([some.mean(axis=(2, 4)).reshape(-1, COARSE * COARSE * 3) for some in blocks])


def _met(hashes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows that differ in at most `FAR` bits, byte by byte; a pair may come more than once."""
    whole = np.ascontiguousarray(hashes).view(np.uint64)[:, 0]
    for band in hashes.T:
        order = np.argsort(band, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(band[order])) + 1):
            for at in range(0, len(bucket), 512):
                some, rest = bucket[at : at + 512], bucket[at:]
                close = np.bitwise_count(whole[some][:, None] ^ whole[rest]) <= FAR
                one, two = np.nonzero(np.triu(close, 1))
                yield some[one], rest[two]


def _same(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    apart = np.abs(one - two).reshape(len(one), SIDE * SIDE * 3)
    same: np.ndarray = (np.square(apart).mean(axis=1) <= NEAR**2) & (apart.max(axis=1, initial=0) <= NEAREST_POINT)
    return same
