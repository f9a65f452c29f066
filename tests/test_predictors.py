"""Predictors against brute force and scikit-learn, draw by draw; conf/predictor against signatures."""

import importlib
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model import Ridge as OracleRidge
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from torch import Tensor

from transfer_cli.errors import DataError
from transfer_cli.predictors import knn as knn_file
from transfer_cli.predictors import support as support_file
from transfer_cli.predictors.knn import Knn
from transfer_cli.predictors.logistic import Logistic
from transfer_cli.predictors.prototypes import Prototypes
from transfer_cli.predictors.ridge import Ridge
from transfer_cli.predictors.support import as_logits

CONF = Path(__file__).parents[1] / "conf" / "predictor"
YAMLS = sorted(CONF.glob("*.yaml"))
ALL = [Prototypes(), Prototypes(distance="cosine"), Ridge(), Logistic(), Knn(), Knn(distance="cosine"), Knn(k=3)]


def episodes(
    draws: int, ways: int = 5, shots: int = 5, queries: int = 4, d: int = 16, seed: int = 0, shift: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    centres = torch.randn(draws, ways, d, generator=rng)
    labels = torch.stack([torch.randperm(ways * shots, generator=rng) % ways for _ in range(draws)])
    near = centres.gather(1, labels[:, :, None].expand(-1, -1, d)) + torch.randn(draws, ways * shots, d, generator=rng)
    query = centres.repeat_interleave(queries, 1) + torch.randn(draws, ways * queries, d, generator=rng)
    return near + shift, labels, query + shift


@pytest.mark.parametrize("predictor", ALL, ids=lambda p: type(p).__name__)
def test_all_draws_at_once_equal_one_by_one(predictor: Any) -> None:
    support, labels, query = episodes(12)
    together = predictor.scores(support, labels, query, 5)
    alone = [predictor.scores(support[e : e + 1], labels[e : e + 1], query[e : e + 1], 5) for e in range(12)]
    assert together.shape == (12, 20, 5)
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("predictor", ALL, ids=lambda p: type(p).__name__)
def test_renaming_classes_renames_scores(predictor: Any) -> None:
    support, labels, query = episodes(3)
    order = torch.tensor([3, 0, 4, 1, 2])
    renamed = predictor.scores(support, order[labels], query, 5)
    torch.testing.assert_close(renamed[..., order], predictor.scores(support, labels, query, 5), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("predictor", ALL, ids=lambda p: type(p).__name__)
def test_half_precision_features_are_scored_in_full(predictor: Any) -> None:
    support, labels, query = (x.bfloat16() if x.is_floating_point() else x for x in episodes(2))
    scores = predictor.scores(support, labels, query, 5)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, predictor.scores(support.float(), labels, query.float(), 5))


@pytest.mark.parametrize("predictor", ALL, ids=lambda p: type(p).__name__)
def test_clear_cut_classes_are_found(predictor: Any) -> None:
    support, labels, query = episodes(4, d=64)
    truth = torch.arange(5).repeat_interleave(4)
    assert (predictor.scores(10 * support, labels, 10 * query, 5).argmax(2) == truth).float().mean() > 0.95


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_prototypes_equal_plain_distances(shift: float) -> None:
    """Far from the origin too: float32 features at 1000 have squares of 1e6 and distances of a few units."""
    support, labels, query = episodes(6, shift=shift)
    got = Prototypes().scores(support, labels, query, 5)
    for e in range(6):
        means = np.stack([support[e, labels[e] == c].double().numpy().mean(0) for c in range(5)])
        want = -((query[e].double().numpy()[:, None] - means[None]) ** 2).sum(-1)
        np.testing.assert_allclose(got[e], want, rtol=2e-3, atol=2e-3)
        oracle = NearestCentroid().fit(support[e].double(), labels[e])
        assert (got[e].argmax(1).numpy() == oracle.predict(query[e].double())).all()


def test_cosine_prototypes_equal_plain_cosines() -> None:
    support, labels, query = episodes(3)
    got = Prototypes(distance="cosine").scores(support, labels, query, 5)
    for e in range(3):
        means = np.stack([support[e, labels[e] == c].numpy().mean(0) for c in range(5)])
        x = query[e].numpy()
        want = x @ means.T / np.linalg.norm(x, axis=1)[:, None] / np.linalg.norm(means, axis=1)
        np.testing.assert_allclose(got[e], want, atol=1e-5)


def test_prototypes_name_the_class_without_a_row() -> None:
    text = r"^predictor=prototypes: class 2 has no row to learn from in draw 0$"
    with pytest.raises(DataError, match=text):
        Prototypes().scores(torch.zeros(1, 2, 4), torch.tensor([[0, 1]]), torch.zeros(1, 1, 4), 3)


@pytest.mark.parametrize(("d", "shots"), [(8, 5), (40, 1), (25, 5)])
@pytest.mark.parametrize("l2", [0.01, 1.0, 100.0])
def test_ridge_equals_scikit_learn(d: int, shots: int, l2: float) -> None:
    """More rows than features, fewer, and as many."""
    support, labels, query = episodes(3, shots=shots, d=d, shift=3.0)
    got = Ridge(l2=l2).scores(support, labels, query, 5)
    for e in range(3):
        oracle = OracleRidge(alpha=l2).fit(support[e].double(), np.eye(5)[labels[e]])
        np.testing.assert_allclose(got[e], oracle.predict(query[e].double()), atol=1e-4)


@pytest.mark.parametrize(("d", "shots"), [(8, 5), (40, 1), (25, 5)])
@pytest.mark.parametrize("l2", [0.01, 1.0, 100.0])
def test_logistic_equals_scikit_learn(d: int, shots: int, l2: float) -> None:
    support, labels, query = episodes(3, shots=shots, d=d, shift=3.0)
    got = Logistic(l2=l2).scores(support, labels, query, 5).double().softmax(2)
    for e in range(3):
        oracle = LogisticRegression(C=1 / l2, tol=1e-8, max_iter=5000).fit(support[e].double(), labels[e])
        np.testing.assert_allclose(got[e], oracle.predict_proba(query[e].double()), atol=1e-4)


def test_logistic_of_many_rows_equals_scikit_learn() -> None:
    support, labels, query = episodes(1, shots=200, d=6)
    got = Logistic().scores(support, labels, query, 5)[0].double().softmax(1)
    oracle = LogisticRegression(C=1.0, tol=1e-8, max_iter=5000).fit(support[0].double(), labels[0])
    np.testing.assert_allclose(got, oracle.predict_proba(query[0].double()), atol=1e-4)


def test_logistic_survives_features_of_any_size() -> None:
    """1e4 times larger features separate the classes completely; the weights must stay finite and right."""
    support, labels, query = episodes(4, d=64)
    scores = Logistic().scores(1e4 * support, labels, 1e4 * query, 5)
    assert scores.isfinite().all()
    assert (scores.argmax(2) == torch.arange(5).repeat_interleave(4)).float().mean() > 0.95


@pytest.mark.parametrize("weights", ["uniform", "distance"])
@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_knn_equals_scikit_learn(weights: Any, k: int, distance: Any) -> None:
    support, labels, query = episodes(3)
    got = Knn(k=k, distance=distance, weights=weights).scores(support, labels, query, 5)
    for e in range(3):
        oracle = KNeighborsClassifier(k, weights=weights, metric=distance, algorithm="brute")
        oracle.fit(support[e].double(), labels[e])
        np.testing.assert_allclose(got[e], oracle.predict_proba(query[e].double()), atol=1e-4)


def test_a_query_equal_to_support_rows_listens_to_these_alone() -> None:
    support = torch.tensor([[[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.1, 2.0], [9.0, 9.0]]]) + 1000
    labels = torch.tensor([[0, 0, 1, 2, 2]])
    got = Knn(k=4).scores(support, labels, support[:, :1], 3)
    torch.testing.assert_close(got, torch.tensor([[[2 / 3, 1 / 3, 0.0]]]))


def test_a_row_three_times_as_long_is_as_near_by_cosine() -> None:
    """Normalised in float32 the two differ by 1e-7; the first must not take all votes as the only exact match."""
    support, labels, _ = episodes(20, d=37)
    support[:, 1], labels[:, 0], labels[:, 1] = 3 * support[:, 0], 2, 4
    got = Knn(distance="cosine").scores(support, labels, support[:, :1], 5)
    torch.testing.assert_close(got, torch.tensor([0, 0, 0.5, 0, 0.5]).expand(20, 1, 5))


def test_fewer_rows_than_k_all_vote() -> None:
    support, labels, query = episodes(2, shots=1)
    got = Knn(k=50, weights="uniform").scores(support, labels, query, 5)
    torch.testing.assert_close(got, torch.full((2, 20, 5), 0.2))


def test_knn_in_pieces_equals_knn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    support, labels, query = episodes(7)
    want = Knn().scores(support, labels, query, 5)
    monkeypatch.setattr(support_file, "MAX_NUMBERS", 60)
    assert len(list(knn_file.chunks(20, 25))) == 10
    assert torch.equal(Knn().scores(support, labels, query, 5), want)


@pytest.mark.parametrize(
    ("support", "labels", "query", "text"),
    [
        (torch.zeros(2, 4), torch.zeros(2, 4), torch.zeros(2, 1, 4), r"support \[2, 4\]"),
        (torch.zeros(1, 2, 4), torch.zeros(1, 3).long(), torch.zeros(1, 1, 4), r"labels \[1, 3\]"),
        (torch.zeros(1, 2, 4), torch.zeros(1, 2).long(), torch.zeros(1, 1, 5), r"differ in draws or features"),
        (torch.zeros(1, 2, 4), torch.full((1, 2), 3), torch.zeros(1, 1, 4), r"labels 3 to 3, expected 0 to 2"),
    ],
)
def test_what_does_not_fit_is_refused(support: Tensor, labels: Tensor, query: Tensor, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Ridge().scores(support, labels, query, 3)


def test_each_predictor_has_its_yaml_and_each_yaml_its_file() -> None:
    files = {p.stem for p in (Path(__file__).parents[1] / "transfer_cli/predictors").glob("[!_]*.py")} - {"support"}
    assert {p.stem for p in YAMLS} - {"none"} == files
    assert len(files) >= 4


@pytest.mark.parametrize("path", [p for p in YAMLS if p.stem != "none"], ids=lambda p: p.stem)
def test_yaml_spells_out_the_defaults(path: Path) -> None:
    node = yaml.safe_load(path.read_text())
    module = importlib.import_module(f"transfer_cli.predictors.{node.pop('predictor')}")
    parameters = inspect.signature(getattr(module, path.stem.title())).parameters.values()
    assert node == {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert "transfer run" in path.read_text().splitlines()[0]


@pytest.mark.parametrize("predictor", [Knn(k=3), Ridge()])
def test_shares_become_probabilities(predictor: Any) -> None:
    """The softmax of the logits is the share of votes, less one per cent that all classes get; by hand: of 3 votes
    2 for a, 1 for b, none for c."""
    by_hand = as_logits(predictor, torch.tensor([2 / 3, 1 / 3, 0.0])).softmax(-1)
    torch.testing.assert_close(by_hand, (torch.tensor([2 / 3, 1 / 3, 0.0]) + 0.01 / 3) / 1.01)
    rng = torch.Generator().manual_seed(0)
    support, query = torch.randn(1, 12, 4, generator=rng), torch.randn(1, 9, 4, generator=rng)
    scores = predictor.scores(support, torch.arange(12)[None] % 3, query, 3)
    assert torch.equal(as_logits(predictor, scores).argmax(-1), scores.argmax(-1))


def test_distances_and_logits_stay() -> None:
    scores = torch.tensor([-4.0, -1.0])
    assert as_logits(Prototypes(), scores) is scores
    assert as_logits(Logistic(), scores) is scores
