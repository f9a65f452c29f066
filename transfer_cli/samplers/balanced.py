"""Class-balanced batches."""

from collections.abc import Callable
from math import gcd

import numpy as np

Rng = Callable[[str, int], np.random.Generator]


class Balanced:
    """Every batch contains equally many rows of each class, up to a difference of one. If the batch size is not a
    multiple of the number of classes, the classes that get one more row follow a random order of all classes, so that
    after a few batches every class has got an additional row equally often. Within a class, no row repeats before all
    rows of the class occurred, so rows of a small class occur more often than rows of a large class.

    The sampler has no state: the rows of a batch are computed from t. A batch is never larger than the data."""

    needs = ("classes",)
    groups = None

    def __init__(self, labels: np.ndarray, batch: int) -> None:
        counts = np.unique(labels, return_counts=True)[1]
        self.rows = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
        self.shape = (min(batch, len(labels)),)
        self._orders: dict[int, tuple[int, np.ndarray]] = {}

    def index(self, t: int, rng: Rng) -> np.ndarray:
        """The rows [batch] of batch t, in random order."""
        first, count = self._turns(t, rng)
        chosen = [self._taken(c, int(first[c]), int(count[c]), rng) for c in np.flatnonzero(count).tolist()]
        return rng("order", t).permutation(np.concatenate(chosen))

    def _turns(self, t: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """The number of rows of each class in all batches before t, and in batch t: both [C]."""
        classes = len(self.rows)
        each, more = divmod(self.shape[0], classes)
        if not more:
            return np.full(classes, each * t), np.full(classes, each)
        # In each batch, `more` classes get one additional row. The classes take turns in a random cyclic order; after
        # one cycle every class has had equally many turns, and a new order is drawn.
        length = classes // gcd(classes, more)
        cycle, batch = divmod(t, length)
        place = np.argsort(rng("classes", cycle).permutation(classes))
        start = batch * more
        before = cycle * length * more // classes + (start - place + classes - 1) // classes
        return each * t + before, each + ((place - start) % classes < more)

    def _taken(self, c: int, first: int, count: int, rng: Rng) -> np.ndarray:
        """Rows `first` to `first + count` of the sequence of class c, which consists of all its epochs."""
        size = len(self.rows[c])
        epochs = range(first // size, (first + count - 1) // size + 1)
        rows = np.concatenate([self._order(c, epoch, rng) for epoch in epochs])
        return rows[first - epochs[0] * size :][:count]

    def _order(self, c: int, epoch: int, rng: Rng) -> np.ndarray:
        if self._orders.get(c, (-1,))[0] != epoch:
            self._orders[c] = epoch, rng(f"class {c}", epoch).permutation(self.rows[c])
        return self._orders[c][1]
