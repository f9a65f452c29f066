"""Batches that cover the whole range of a number."""

from collections.abc import Callable

import numpy as np

Rng = Callable[[str, int], np.random.Generator]


class Spread:
    """Every batch has one row of each of `batch` equal slices of the rows, ordered by what is learned of them."""

    groups = None

    def __init__(self, labels: np.ndarray, batch: int, *, most: int = 64) -> None:
        order = np.argsort(labels.reshape(len(labels), -1)[:, 0], kind="stable")
        self.slices = np.array_split(order, min(batch, most, len(labels)))
        self.shape = (len(self.slices),)

    def index(self, t: int, rng: Rng) -> np.ndarray:
        draw = rng("row", t)
        return np.array([draw.choice(rows) for rows in self.slices])
