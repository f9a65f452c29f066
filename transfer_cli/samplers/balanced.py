"""Class-balanced batches."""

from collections.abc import Callable
from math import gcd

import numpy as np

Rng = Callable[[str, int], np.random.Generator]


class Balanced:
    """Every batch has equally many rows of each class, to within one. The classes that get one row more, or the only
    ones where the batch is smaller than the number of classes, follow a drawn order of all classes, so that after a few
    batches each class has had its turn equally often. Within a class every row comes once before any comes again: rows
    of a small class come more often than those of a large one.

    Without state: what a batch takes is worked out from t, not counted. A batch is never larger than the data."""

    groups = None

    def __init__(self, labels: np.ndarray, batch: int) -> None:
        counts = np.unique(labels, return_counts=True)[1]
        self.rows = np.split(np.argsort(labels, kind="stable"), np.cumsum(counts)[:-1])
        self.shape = (min(batch, len(labels)),)
        self._orders: dict[int, tuple[int, np.ndarray]] = {}

    def index(self, t: int, rng: Rng) -> np.ndarray:
        """Rows [batch] of batch t, mixed."""
        first, count = self._turns(t, rng)
        chosen = [self._taken(c, int(first[c]), int(count[c]), rng) for c in np.flatnonzero(count).tolist()]
        return rng("order", t).permutation(np.concatenate(chosen))

    def _turns(self, t: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
        """How many rows of each class all batches before t took, and how many batch t takes: both [C]."""
        classes = len(self.rows)
        each, more = divmod(self.shape[0], classes)
        if not more:
            return np.full(classes, each * t), np.full(classes, each)
        # Batch by batch `more` classes get one row more, going round a circle of all classes; after one cycle every
        # class has had its turn equally often, and the circle is drawn anew.
        length = classes // gcd(classes, more)
        cycle, batch = divmod(t, length)
        place = np.argsort(rng("classes", cycle).permutation(classes))
        start = batch * more
        before = cycle * length * more // classes + (start - place + classes - 1) // classes
        return each * t + before, each + ((place - start) % classes < more)

    def _taken(self, c: int, first: int, count: int, rng: Rng) -> np.ndarray:
        """Rows `first` to `first + count` of the endless sequence of class c, in which epoch follows epoch."""
        size = len(self.rows[c])
        epochs = range(first // size, (first + count - 1) // size + 1)
        rows = np.concatenate([self._order(c, epoch, rng) for epoch in epochs])
        return rows[first - epochs[0] * size :][:count]

    def _order(self, c: int, epoch: int, rng: Rng) -> np.ndarray:
        if self._orders.get(c, (-1,))[0] != epoch:
            self._orders[c] = epoch, rng(f"class {c}", epoch).permutation(self.rows[c])
        return self._orders[c][1]
