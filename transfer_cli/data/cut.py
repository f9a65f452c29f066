"""Which rows belong to which part, and which of them are drawn: pure functions of labels and seeds.
Every class is cut and drawn by a generator of its own, named by the class, so choosing other classes moves no row.
Orders come from Philox's raw words: the bit stream is fixed by its paper, numpy's `permutation` is not."""

from collections.abc import Iterator, Sequence

import numpy as np

from transfer_cli.seeds import seed_for


def shuffled(rows: np.ndarray, seed: int) -> np.ndarray:
    """`rows` [N] in the order of N random words; seed in [0, 2**128)."""
    words = np.random.Philox(key=seed).random_raw(len(rows))
    shuffle: np.ndarray = rows[np.argsort(words, kind="stable")]
    return shuffle


def by_class(labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """Ascending row numbers of every class 0..classes-1 of labels [N]."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.searchsorted(labels[order], np.arange(1, classes)))


def cut(
    labels: np.ndarray, classes: Sequence[str], shares: Sequence[float], seed: int, groups: np.ndarray | None = None
) -> list[np.ndarray]:
    """Rows of labels [N] as len(shares) + 1 disjoint ascending index arrays, stratified: share by share, then the
    rest. A share > 0 takes at least one row of a class while one row is left for the rest. Rows of one class with
    the same entry in `groups` [N] (copies) stay together."""
    taken: list[list[np.ndarray]] = [[] for _ in range(len(shares) + 1)]
    for name, rows in zip(classes, by_class(labels, len(classes)), strict=True):
        mixed = _together(shuffled(rows, seed_for(seed, "split", name)), groups)
        for bucket, piece in zip(taken, _pieces(mixed, shares, groups), strict=True):
            bucket.append(piece)
    return [np.sort(np.concatenate(bucket)) for bucket in taken]


def _together(rows: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Rows of a group move up to its first one; the order of groups stays."""
    if groups is None:
        return rows
    _, first, group = np.unique(groups[rows], return_index=True, return_inverse=True)
    moved: np.ndarray = rows[np.argsort(first[group], kind="stable")]
    return moved


def _pieces(rows: np.ndarray, shares: Sequence[float], groups: np.ndarray | None) -> Iterator[np.ndarray]:
    start = 0
    for share in shares:
        count = min(max(1, int(len(rows) * share + 0.5)), len(rows) - 1 - start) if share else 0
        end = start + max(0, count)
        while groups is not None and start < end < len(rows) and groups[rows[end]] == groups[rows[end - 1]]:
            end += 1
        yield rows[start:end]
        start = end
    yield rows[start:]


def draw(
    rows: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    seed: int,
    *,
    shots: int | None = None,
    fraction: float = 1.0,
) -> np.ndarray:
    """`shots` rows of every class, or `fraction` of it (at least one row), out of `rows` [N] with `labels` [N].
    The first k shots are among the first k + 1. A class with fewer rows gives what it has."""
    taken = []
    for name, places in zip(classes, by_class(labels, len(classes)), strict=True):
        count = shots if shots is not None else max(1, int(len(places) * fraction + 0.5))
        taken.append(shuffled(rows[places], seed_for(seed, "draw", name))[:count])
    return np.sort(np.concatenate(taken))
