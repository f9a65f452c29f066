"""Few-shot episodes: what is drawn, from which side, and the accuracy against a loop over episodes by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from transfer_cli.engine.episodes import _episode_accuracy, draw_episodes
from transfer_cli.predictors.prototypes import Prototypes

WANTS = {"way": 3, "shots": 2, "queries": 4, "draws": 50}
SUPPORT = np.repeat(np.arange(5), [6, 7, 8, 9, 10])
QUERY = np.repeat(np.arange(5), [12, 11, 10, 9, 8])


def drawn(seed=0, support=SUPPORT, query=QUERY):
    return draw_episodes(support, query, rng=np.random.default_rng(seed), **WANTS)


def test_support_and_queries_are_of_the_same_classes_each_from_its_own_side():
    rows, asked = drawn()
    assert rows.shape == (50, 6)
    assert asked.shape == (50, 12)
    for near, far in zip(SUPPORT[rows].reshape(50, 3, 2), QUERY[asked].reshape(50, 3, 4), strict=True):
        assert len(set(near[:, 0])) == 3  # classes without replacement
        assert (near == near[:, :1]).all()
        assert (far == near[:, :1]).all()


def test_no_row_stands_twice_in_an_episode_and_all_are_drawn_some_time():
    for chosen, count in zip(drawn(), (len(SUPPORT), len(QUERY)), strict=True):
        assert all(len(set(episode)) == len(episode) for episode in chosen)
        assert set(chosen.ravel()) == set(range(count))


def test_draws_depend_on_the_seed_and_on_where_labels_stand_only():
    assert all(np.array_equal(a, b) for a, b in zip(drawn(), drawn(), strict=True))
    assert not np.array_equal(drawn()[0], drawn(seed=1)[0])


@pytest.mark.parametrize("floats", [100, 30_000_000])
def test_accuracy_is_that_of_a_loop_by_hand(floats, monkeypatch):
    """Nearest class mean, one episode and one query at a time; in chunks or at once."""
    monkeypatch.setattr("transfer_cli.engine.episodes.EPISODE_FLOATS", floats)
    rng = np.random.default_rng(0)
    support = rng.normal(size=(len(SUPPORT), 6)) + SUPPORT[:, None] * 0.7
    query = rng.normal(size=(len(QUERY), 6)) + QUERY[:, None] * 0.7
    chosen = drawn()
    expected = []
    for rows, asked in zip(*chosen, strict=True):
        classes = SUPPORT[rows].reshape(3, 2)[:, 0]
        means = np.stack([support[rows][SUPPORT[rows] == c].mean(0) for c in classes])
        hits = [classes[((query[row] - means) ** 2).sum(1).argmin()] == QUERY[row] for row in asked]
        expected.append(np.mean(hits))
    context = SimpleNamespace(stop=lambda: None)
    found = _episode_accuracy(Prototypes(), torch.tensor(support), torch.tensor(query), chosen, WANTS, context)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)
    assert 0.4 < found.mean() < 0.99
