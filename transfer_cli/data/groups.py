"""Groups of rows that must stay together: union-find over row numbers 0..N-1. Numpy only."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from transfer_cli.data.contracts import Raw


class Groups:
    """Disjoint groups of N rows. `of` int64 [N]: the smallest row number in the group of each row."""

    def __init__(self, count: int) -> None:
        self.of = np.arange(count)

    def join(self, one: np.ndarray, two: np.ndarray) -> None:
        """Merges the groups of one[i] and two[i], for all i."""
        while len(one):
            low, high = np.minimum(self.of[one], self.of[two]), np.maximum(self.of[one], self.of[two])
            apart = low != high
            one, two, low, high = one[apart], two[apart], low[apart], high[apart]
            np.minimum.at(self.of, high, low)  # both are roots, so each step lowers at least one
            while not np.array_equal(up := self.of[self.of], self.of):
                self.of = up

    def by_key(self, keys: Iterable[object]) -> None:
        """Merges the groups of rows with equal keys."""
        first: dict[object, int] = {}
        at = np.array([first.setdefault(key, row) for row, key in enumerate(keys)], np.int64)
        self.join(np.arange(len(at)), at)

    def lists(self) -> list[np.ndarray]:
        """The rows of each group with two or more rows, ascending."""
        order = np.argsort(self.of, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(self.of[order])) + 1) if len(order) else []
        return [rows for rows in parts if len(rows) > 1]


def copies(raw: "Raw") -> np.ndarray | None:
    """The group number of each training row, int64 [N]: files of equal content and rows of one entry in `groups` share
    a group, so that a split keeps them together. None if there can be no groups."""
    rows = raw.parts["train"]
    if rows.files is None and not raw.groups:
        return None
    place = {rows.names(row): row for row in range(len(rows.labels))} if raw.groups else {}
    groups = Groups(len(rows.labels))
    for names in raw.groups:
        same = np.array([place[name] for name in names if name in place], np.int64)
        groups.join(same[1:], same[:-1])
    if rows.files is not None:
        groups.by_key(raw.digests[path] for path in rows.files)
    return groups.of
