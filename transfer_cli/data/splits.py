"""Which rows belong to which part, which of them are drawn, and whose labels are made wrong: pure functions of labels
and seeds. Every class is cut, drawn and spoilt by a generator of its own, named by the class, so choosing other classes
moves no row. Orders come from Philox's raw words: the bit stream is fixed by its paper, numpy's `permutation` is
not."""

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


def folds(
    labels: np.ndarray, classes: Sequence[str], count: int, seed: int, groups: np.ndarray | None = None
) -> np.ndarray:
    """Fold 0..count-1 of every row of labels [N]: each class is dealt out in turn, so that folds of a class differ by
    one row at most, and those of a small class begin elsewhere than its neighbours'. `groups` as in `cut`."""
    found = np.empty(len(labels), np.int64)
    for number, (name, rows) in enumerate(zip(classes, by_class(labels, len(classes)), strict=True)):
        mixed = _together(shuffled(rows, seed_for(seed, "fold", name)), groups)
        own = np.arange(len(mixed)) if groups is None else np.cumsum(np.diff(groups[mixed], prepend=-1) != 0) - 1
        found[mixed] = (number + own) % count
    return found


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


def noisy(labels: np.ndarray, classes: Sequence[str], seed: int, *, share: float, kind: str) -> np.ndarray:
    """`labels` [N] with `share` of every class wrong. "symmetric": another class, all alike; "asymmetric": the next
    class, after the last the first (Patrini et al. 2017, arXiv:1609.03683; Han et al. 2018, arXiv:1804.06872, pair
    flipping). What is wrong at a share is so at every larger one."""
    wrong = labels.copy()
    for number, (name, places) in enumerate(zip(classes, by_class(labels, len(classes)), strict=True)):
        hit = shuffled(places, seed_for(seed, "noise", name))[: int(len(places) * share + 0.5)]
        words = np.random.Philox(key=seed_for(seed, "wrong", name)).random_raw(len(hit))
        away = 1 + words % (len(classes) - 1) if kind == "symmetric" else 1
        wrong[hit] = (number + away) % len(classes)
    return wrong
