"""Samplers: which rows make a batch. Balanced batches against a queue that is emptied row by row, and what a loader
and a training do with the batches of a sampler."""

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pair import run_pair
from test_loop import Points
from victims import manifests, run

from transfer_cli.engine.loader import Address, StepLoader, sampler_of
from transfer_cli.engine.micro_batches import split
from transfer_cli.errors import ConfigError
from transfer_cli.models.tensors import unpack
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


# what a loader does with a sampler
class Pairs:
    """Three units of two rows that belong together: neighbours."""

    shape = (3, 2)

    def __init__(self, labels: np.ndarray, batch: int) -> None:
        self.groups = np.arange(len(labels)) // 2

    def index(self, t: int, rng: Rng) -> np.ndarray:
        first = 2 * rng("pairs", t).permutation(len(self.groups) // 2)[:3]
        return np.stack([first, first + 1], 1).ravel()


def paired(rank: int = 0, world: int = 1) -> StepLoader:
    items = Points()
    return StepLoader(
        items,
        Address(0, "fine_tune", "target"),
        batch=8,
        views=("none",),
        share=(rank, world),
        sampler=Pairs(items.labels.numpy(), 8),
    )


def test_a_sampler_gives_the_rows_their_shape_and_decides_their_number() -> None:
    batch = paired()[3]
    assert (batch.shape, len(batch), paired().batch) == ((3, 2), 6, 6)
    assert paired()[4].index.tolist() != batch.index.tolist()
    groups = paired().groups()
    assert groups is not None
    assert groups.tolist() == [row // 2 for row in range(40)]


def test_processes_share_out_whole_units() -> None:
    whole, parts = paired()[5], [paired(rank, 2)[5] for rank in range(2)]
    assert [part.shape for part in parts] == [(2, 2), (1, 2)]
    pairs = whole.index.view(3, 2)
    assert parts[0].index.view(2, 2).tolist() == pairs[0::2].tolist()
    assert parts[1].index.view(1, 2).tolist() == pairs[1::2].tolist()


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_micro_batches_are_whole_units(parts: int) -> None:
    batch = paired()[5]
    found = [part["target"] for part in split({"target": batch}, parts)]
    assert len(found) == min(parts, 3)
    assert all(part.shape == (len(part) // 2, 2) for part in found)
    assert torch.cat([part.index for part in found]).tolist() == batch.index.tolist()


def test_a_file_of_samplers_is_found_by_its_name() -> None:
    assert isinstance(sampler_of({"sampler": "balanced"}, Points(), 8), Balanced)
    with pytest.raises(ConfigError, match=r"samplers/balancd\.py: no such file or class"):
        sampler_of({"sampler": "balancd"}, Points(), 8)


# whole runs
COMMON = ("data=digits", "model=mlp", "strategy=scratch", "trainer=tiny", "runtime.threads=1", "runtime.device=cpu")
BALANCED = "fine_tune.feeds.target.sampler=balanced"


def words(runs: Path, *more: str) -> list[str]:
    return ["run", *COMMON, "runtime.save_every=0", *more, "--runs", str(runs)]


@pytest.fixture(scope="module")
def whole(shelf: Path) -> Path:
    code, text = run(words(shelf / "whole", BALANCED), shelf / "out")
    assert code == 0, text
    return shelf / "whole"


def weights(runs: Path) -> dict[str, torch.Tensor]:
    (path,) = runs.glob(".store/*/model-final.safetensors")
    return unpack(path.read_bytes())[0]


@pytest.mark.parametrize("step", [1, 2])
def test_a_balanced_run_that_is_killed_ends_with_the_same_bytes(step: int, whole: Path, here: Path) -> None:
    assert run(words(here / "runs", BALANCED), here / "out", at=("fine_tune", step))[0] == -signal.SIGKILL
    code, text = run(words(here / "runs", BALANCED), here / "out")
    assert code == 0, text
    assert f"goes on at step {step} of 3" in text
    assert manifests(here / "runs") == manifests(whole)


def test_the_sampler_decides_what_is_learned(whole: Path, here: Path) -> None:
    """The control of the test above."""
    code, text = run(words(here / "runs"), here / "out")
    assert code == 0, text
    one, other = weights(whole), weights(here / "runs")
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_two_processes_learn_from_the_balanced_batches_of_one(whole: Path, here: Path) -> None:
    ended = run_pair(words(here / "runs", BALANCED, "runtime=ddp"), here)
    assert [code for code, _ in ended] == [0, 0], ended
    one, two = weights(whole), weights(here / "runs")
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-6, msg=name)


def test_a_stream_without_labels_refuses_a_sampler(here: Path) -> None:
    """Its labels exist, but a method must not see them."""
    argv = words(here / "runs", "source=digits", "align.feeds.target.sampler=balanced")
    code, text = run([word.replace("scratch", "coral") for word in argv], here / "out")
    assert code == 2, text
    assert "error: align.feeds.target.sampler=balanced: chooses rows by their labels" in text
