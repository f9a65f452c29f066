"""Samplers: which rows make a batch. Balanced batches against a queue that is emptied row by row, and what a loader
and a training do with the batches of a sampler."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_cli.engine.loader import Address
from transfer_cli.samplers.balanced import Balanced

Rng = Callable[[str, int], np.random.Generator]
labels_of = st.lists(st.integers(0, 5), min_size=1, max_size=30).map(lambda rows: np.array(rows, np.int64))
relaxed = settings(deadline=None, max_examples=60)


def rng(seed: int = 0) -> Rng:
    return Address(seed, "fine_tune", "target").rng


class Queue:
    """The same batches in the plainest way: one batch after the other, what was taken is gone."""

    def __init__(self, labels: np.ndarray, batch: int, rng: Rng) -> None:
        self.labels, self.batch, self.rng = labels, min(batch, len(labels)), rng
        self.names = np.unique(labels)
        self.queues: list[list[int]] = [[] for _ in self.names]
        self.epochs = [0] * len(self.names)
        self.turns: list[int] = []
        self.cycles = 0

    def next(self) -> list[int]:
        count = [self.batch // len(self.names)] * len(self.names)
        for _ in range(self.batch % len(self.names)):
            count[self._turn()] += 1
        return sorted(self._row(c) for c, n in enumerate(count) for _ in range(n))

    def _turn(self) -> int:
        classes, more = len(self.names), self.batch % len(self.names)
        if not self.turns:
            circle = self.rng("classes", self.cycles).permutation(classes).tolist()
            self.turns = circle * next(n for n in range(1, more + 1) if n * classes % more == 0)
            self.cycles += 1
        return self.turns.pop(0)

    def _row(self, c: int) -> int:
        if not self.queues[c]:
            mine = np.flatnonzero(self.labels == self.names[c])
            self.queues[c] = self.rng(f"class {c}", self.epochs[c]).permutation(mine).tolist()
            self.epochs[c] += 1
        return self.queues[c].pop(0)


@relaxed
@given(labels_of, st.integers(1, 40))
def test_balanced_batches_are_those_of_a_queue(labels: np.ndarray, batch: int) -> None:
    sampler, queue = Balanced(labels, batch), Queue(labels, batch, rng())
    for t in range(25):
        assert sorted(sampler.index(t, rng()).tolist()) == queue.next()


@relaxed
@given(labels_of, st.integers(1, 40))
def test_balanced_batches_have_as_many_rows_of_each_class_and_no_row_comes_again_too_early(
    labels: np.ndarray, batch: int
) -> None:
    sampler, seen = Balanced(labels, batch), np.zeros(len(labels), np.int64)
    for t in range(25):
        index = sampler.index(t, rng())
        assert index.shape == sampler.shape == (min(batch, len(labels)),)
        counts = np.array([(labels[index] == c).sum() for c in np.unique(labels)])
        assert np.ptp(counts) <= 1
        np.add.at(seen, index, 1)
        assert all(np.ptp(seen[labels == c]) <= 1 for c in np.unique(labels))


def test_after_a_cycle_every_class_has_come_equally_often() -> None:
    labels = np.repeat(np.arange(7), [1, 2, 3, 4, 5, 6, 70])
    drawn = np.concatenate([Balanced(labels, 3).index(t, rng()) for t in range(14)])
    assert np.bincount(labels[drawn]).tolist() == [6] * 7


@relaxed
@given(labels_of, st.integers(1, 40), st.permutations(list(range(8))))
def test_batch_t_does_not_depend_on_what_was_asked_before(labels: np.ndarray, batch: int, order: list[int]) -> None:
    sampler = Balanced(labels, batch)
    mixed = {t: sampler.index(t, rng()).tolist() for t in order}
    assert mixed == {t: Balanced(labels, batch).index(t, rng()).tolist() for t in range(8)}


def test_another_seed_draws_other_batches() -> None:
    labels = np.arange(40) % 4
    assert Balanced(labels, 8).index(0, rng(1)).tolist() != Balanced(labels, 8).index(0, rng(2)).tolist()


def test_rows_of_a_batch_are_mixed() -> None:
    """Else processes and micro-batches would each get rows of a few classes only."""
    labels = np.repeat(np.arange(2), 50)
    halves = [labels[Balanced(labels, 32).index(t, rng())][:16].mean() for t in range(20)]
    assert np.mean(halves) == pytest.approx(0.5, abs=0.1)
    assert 0 < np.ptp(halves) < 1
