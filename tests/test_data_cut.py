"""Splits, draws and label noise: properties that hold for all labels and seeds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_cli.data.splits import by_class, cut, draw, noisy, shuffled

NAMES = ["a", "b", "c"]
LABELS = st.lists(st.integers(0, 2), min_size=1, max_size=60).map(lambda values: np.array(values, np.int64))


@settings(max_examples=60, deadline=None)
@given(
    labels=LABELS, test=st.sampled_from([0.0, 0.1, 0.3]), val=st.sampled_from([0.0, 0.2, 0.5]), seed=st.integers(0, 9)
)
def test_a_split_is_a_partition_with_training_rows_of_every_class(labels, test, val, seed):
    pieces = cut(labels, NAMES, [test, val], seed)
    assert sorted(np.concatenate(pieces).tolist()) == list(range(len(labels)))
    assert all((np.diff(piece) > 0).all() for piece in pieces)
    assert set(labels[pieces[2]].tolist()) == set(labels.tolist())


def test_splits_are_stratified_by_class():
    labels = np.repeat([0, 1], [100, 50])
    test, val, train = cut(labels, ["a", "b"], [0.2, 0.1], 0)
    assert np.bincount(labels[test]).tolist() == [20, 10]
    assert np.bincount(labels[val]).tolist() == [10, 5]
    assert len(train) == 105


def test_a_class_of_three_rows_has_one_per_part_and_a_single_row_is_for_training():
    labels = np.array([0, 0, 0, 1])
    assert [np.bincount(labels[piece], minlength=2).tolist() for piece in cut(labels, NAMES[:2], [0.1, 0.1], 0)] == [
        [1, 0],
        [1, 0],
        [1, 1],
    ]


def test_other_classes_do_not_change_the_split_of_a_class():
    few, many = np.array([0] * 20), np.array([0] * 20 + [1] * 7)
    alone, beside = cut(few, ["a"], [0.25], 3), cut(many, ["a", "b"], [0.25], 3)
    assert [piece[piece < 20].tolist() for piece in beside] == [piece.tolist() for piece in alone]


def test_the_seed_determines_the_split():
    labels = np.zeros(40, np.int64)
    first, again, other = (cut(labels, ["a"], [0.5], seed)[0].tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_copies_stay_in_one_part():
    labels, groups = np.zeros(60, np.int64), np.arange(60) // 3
    for piece in cut(labels, ["a"], [0.2, 0.2], 5, groups):
        assert all(count == 3 for count in np.unique(groups[piece], return_counts=True)[1])


def test_order_is_that_of_sorted_random_words():
    """The documented meaning: argsort of Philox's raw words, independent of numpy's own shuffle."""
    rows = np.arange(10, 20)
    words = [int(word) for word in np.random.Philox(key=7).random_raw(10)]
    assert shuffled(rows, 7).tolist() == [row for _, row in sorted(zip(words, rows.tolist()))]


def test_by_class_lists_rows_in_order():
    assert [rows.tolist() for rows in by_class(np.array([2, 0, 2, 0]), 4)] == [[1, 3], [], [0, 2], []]


@pytest.mark.parametrize("shots", [1, 3, 8])
def test_shots_are_drawn_per_class_and_nested(shots):
    labels = np.tile([0, 1, 2], 10)
    drawn, more = (draw(np.arange(30), labels, NAMES, 4, shots=k) for k in (shots, shots + 1))
    assert np.bincount(labels[drawn]).tolist() == [shots] * 3
    assert set(drawn.tolist()) < set(more.tolist())


def test_a_fraction_takes_at_least_one_of_every_class():
    labels = np.repeat([0, 1], [100, 4])
    drawn = draw(np.arange(104), labels, ["a", "b"], 0, fraction=0.1)
    assert np.bincount(labels[drawn]).tolist() == [10, 1]


def test_seeds_draw_different_shots():
    labels = np.zeros(100, np.int64)
    drawn = [tuple(draw(np.arange(100), labels, ["a"], seed, shots=5)) for seed in range(5)]
    assert len(set(drawn)) == 5


# noise
def test_noise_changes_exactly_its_share_of_every_class():
    labels = np.repeat([0, 1, 2], [100, 50, 10])
    wrong = noisy(labels, NAMES, 0, share=0.2, kind="symmetric") != labels
    assert np.bincount(labels[wrong]).tolist() == [20, 10, 2]


@settings(max_examples=40, deadline=None)
@given(labels=LABELS, share=st.sampled_from([0.0, 0.1, 0.5, 1.0]), seed=st.integers(0, 9))
def test_asymmetric_noise_gives_the_next_class(labels, share, seed):
    made = noisy(labels, NAMES, seed, share=share, kind="asymmetric")
    assert set(((made - labels) % 3).tolist()) <= {0, 1}
    if share == 1.0:
        assert made.tolist() == [(label + 1) % 3 for label in labels]


def test_symmetric_noise_is_uniform_over_other_classes():
    """600 wrong labels over 3 other classes: 200 each, sd sqrt(600 * 1/3 * 2/3) = 11.5; 4 sd are allowed."""
    made = noisy(np.zeros(600, np.int64), ["a", "b", "c", "d"], 0, share=1.0, kind="symmetric")
    counts = np.bincount(made, minlength=4)
    assert counts[0] == 0
    assert (abs(counts[1:] - 200) < 46).all()


def test_noise_of_a_larger_share_contains_that_of_a_smaller():
    labels = np.tile([0, 1, 2], 40)
    few, many = (noisy(labels, NAMES, 3, share=share, kind="symmetric") for share in (0.2, 0.5))
    spoilt = few != labels
    assert (many[spoilt] == few[spoilt]).all()
    assert (many != labels).sum() > spoilt.sum()


def test_noise_leaves_its_input_and_depends_on_its_seed():
    labels = np.tile([0, 1, 2], 40)
    before = labels.copy()
    first, again, other = (noisy(labels, NAMES, seed, share=0.3, kind="symmetric").tolist() for seed in (1, 1, 2))
    assert first == again != other
    assert labels.tolist() == before.tolist()
