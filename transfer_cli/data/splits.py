"""Splits into parts and folds, draws of labelled rows, and label noise: pure functions of labels and seeds.

Each class has its own random generator, seeded by the name of the class, so the selection of classes does not change
the result for the others. Orders come from raw Philox words, whose bit stream is fixed by its paper; that of numpy's
`permutation` may change."""

from collections.abc import Iterator, Sequence

import numpy as np

from transfer_cli.seeds import seed_for


def shuffled(rows: np.ndarray, seed: int) -> np.ndarray:
    """`rows` [N] in random order; seed in [0, 2**128)."""
    words = np.random.Philox(key=seed).random_raw(len(rows))
    shuffle: np.ndarray = rows[np.argsort(words, kind="stable")]
    return shuffle


def by_class(labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """Row numbers of every class 0..classes-1 of labels [N], ascending."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.searchsorted(labels[order], np.arange(1, classes)))


def cut(
    labels: np.ndarray, classes: Sequence[str], shares: Sequence[float], seed: int, groups: np.ndarray | None = None
) -> list[np.ndarray]:
    """Splits rows with labels [N] into len(shares) + 1 disjoint ascending index arrays, stratified by class: one per
    share, then the rest. A share > 0 gets at least one row of each class if one row is left for the rest. Rows of one
    class with the same entry in `groups` [N] (copies) stay together."""
    buckets: list[list[np.ndarray]] = [[] for _ in range(len(shares) + 1)]
    for name, rows in zip(classes, by_class(labels, len(classes)), strict=True):
        mixed = _together(shuffled(rows, seed_for(seed, "split", name)), groups)
        for bucket, piece in zip(buckets, _pieces(mixed, shares, groups), strict=True):
            bucket.append(piece)
    return [np.sort(np.concatenate(bucket)) for bucket in buckets]


def folds(
    labels: np.ndarray, classes: Sequence[str], count: int, seed: int, groups: np.ndarray | None = None
) -> np.ndarray:
    """The fold 0..count-1 of every row of labels [N]. Rows of each class go to the folds in turn, so the numbers of
    rows of a class differ by at most one between folds (without groups). Each class starts with another fold, so that
    rows of small classes are spread over folds. `groups` as in `cut`."""
    fold = np.empty(len(labels), np.int64)
    for number, (name, rows) in enumerate(zip(classes, by_class(labels, len(classes)), strict=True)):
        mixed = _together(shuffled(rows, seed_for(seed, "fold", name)), groups)
        group_number = (
            np.arange(len(mixed)) if groups is None else np.cumsum(np.diff(groups[mixed], prepend=-1) != 0) - 1
        )
        fold[mixed] = (number + group_number) % count
    return fold


def _together(rows: np.ndarray, groups: np.ndarray | None) -> np.ndarray:
    """Moves the rows of a group next to its first row; the order of groups does not change."""
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
    """Draws `shots` rows of every class, or the share `fraction` of each class (at least one row), from `rows` [N] with
    `labels` [N]. A draw of k shots is a subset of the draw of k + 1. A class with fewer rows contributes all of
    them."""
    drawn = []
    for name, places in zip(classes, by_class(labels, len(classes)), strict=True):
        count = shots if shots is not None else max(1, int(len(places) * fraction + 0.5))
        drawn.append(shuffled(rows[places], seed_for(seed, "draw", name))[:count])
    return np.sort(np.concatenate(drawn))


def noisy(labels: np.ndarray, classes: Sequence[str], seed: int, *, share: float, kind: str) -> np.ndarray:
    """`labels` [N] with wrong labels for the share `share` of every class. "symmetric": a random other class,
    uniformly; "asymmetric": the next class, cyclically (Patrini et al. 2017, arXiv:1609.03683; Han et al. 2018,
    arXiv:1804.06872, pair flipping). Labels that are wrong at one share are also wrong at every larger share."""
    wrong = labels.copy()
    for number, (name, places) in enumerate(zip(classes, by_class(labels, len(classes)), strict=True)):
        hit = shuffled(places, seed_for(seed, "noise", name))[: int(len(places) * share + 0.5)]
        words = np.random.Philox(key=seed_for(seed, "wrong", name)).random_raw(len(hit))
        away = 1 + words % (len(classes) - 1) if kind == "symmetric" else 1
        wrong[hit] = (number + away) % len(classes)
    return wrong
