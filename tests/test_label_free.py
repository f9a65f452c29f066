"""Validators without target labels: by hand, against libraries, and that they see no target label."""

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from transfer_cli.metrics.domains import domain_accuracy, principal_axes, proxy_a_distance, source_probability
from transfer_cli.metrics.label_free import VALIDATORS, Judged, bnm, dev, entropy, information, knn, mmd, snd
from transfer_cli.selection_rules import LABEL_FREE, RULES


def normal(rows: int, d: int, seed: int) -> Tensor:
    return torch.randn(rows, d, generator=torch.Generator().manual_seed(seed))


def judged(shift: float = 0.0, rows: int = 60) -> Judged:
    labels = torch.arange(rows) % 3
    corners = 3 * torch.eye(3)[labels]
    source, target = normal(rows, 3, 0) + corners, normal(rows, 3, 1) + corners + shift
    return Judged(target, 2 * target, source, 2 * source, labels)


def test_every_rule_has_its_validator() -> None:
    assert VALIDATORS.keys() == LABEL_FREE.keys()
    assert set(LABEL_FREE) <= set(RULES)


def test_entropy_information_and_bnm_by_hand() -> None:
    sure = torch.tensor([[30.0, 0.0], [0.0, 30.0]])
    even = Judged(sure, sure)
    collapsed = Judged(sure, sure[:1].repeat(2, 1))
    assert entropy(even) == pytest.approx(0, abs=1e-6)
    assert entropy(Judged(sure, torch.zeros(4, 2))) == pytest.approx(-math.log(2))
    assert (information(even), information(collapsed)) == pytest.approx((math.log(2), 0), abs=1e-6)
    # nuclear norm of the identity is 2, of two equal rows sqrt(2); divided by sqrt(rows)
    assert (bnm(even), bnm(collapsed)) == pytest.approx((math.sqrt(2), 1), abs=1e-6)


def test_bnm_is_the_nuclear_norm() -> None:
    scores = normal(30, 4, 0)
    expected = torch.linalg.matrix_norm(scores.softmax(1), "nuc").item() / 30**0.5
    assert bnm(Judged(scores, scores)) == pytest.approx(expected, rel=1e-5)


def test_snd_by_loops() -> None:
    scores = normal(7, 3, 0)
    likely = scores.softmax(1).double().numpy()
    likely /= np.linalg.norm(likely, axis=1, keepdims=True)
    found = []
    for i in range(7):
        weights = np.array([math.exp(likely[i] @ likely[j] / 0.05) for j in range(7) if j != i])
        share = weights / weights.sum()
        found.append(-(share * np.log(share)).sum())
    assert snd(Judged(scores, scores)) == pytest.approx(np.mean(found), rel=1e-4)


def test_domain_classifier_is_sklearns() -> None:
    source, target = normal(80, 3, 0), normal(50, 3, 1) + 0.7
    rows = torch.cat([source, target])
    standard = ((rows - rows.mean(0)) / rows.std(0)).double().numpy()  # in float32 its solver stops early
    c = 1 / (1e-3 * len(rows))  # sklearn sums losses: its C is 1 / (l2 a row * rows)
    model = LogisticRegression(C=c, tol=1e-10, max_iter=1000).fit(standard, [1] * 80 + [0] * 50)
    expected = model.predict_proba(standard)[:, 1]
    assert source_probability(source, target, rows).numpy() == pytest.approx(expected, abs=1e-4)


def test_dev_is_the_mean_loss_without_shift_and_heeds_target_like_rows() -> None:
    same = judged()
    same = Judged(same.source, same.source_scores, same.source, same.source_scores, same.labels)
    plain = torch.nn.functional.cross_entropy(same.source_scores, same.labels).item()
    assert dev(same) == pytest.approx(-plain, rel=1e-5)
    # source rows on the right are misjudged, and the target lies on the right
    labels = torch.zeros(200, dtype=torch.int64)
    source = torch.linspace(-2, 2, 200)[:, None]
    scores = torch.cat([-3 * source, 3 * source], 1)
    right, left = (Judged(source + s, scores, source, scores, labels) for s in (1.5, -1.5))
    assert dev(right) < dev(left)


def test_knn_counts_agreement_with_the_nearest_source_row() -> None:
    seen = judged(rows=30)
    near = torch.nn.functional.normalize(seen.source, dim=1)
    far = torch.nn.functional.normalize(seen.target, dim=1)
    hits = 0
    for i in range(30):
        best = max(range(30), key=lambda j: float(far[i] @ near[j]))
        hits += int(seen.labels[best]) == int(seen.target_scores[i].argmax())
    assert knn(seen) == pytest.approx(hits / 30)


def test_a_shift_costs_in_mmd_and_can_be_told() -> None:
    assert mmd(judged(0.0)) > mmd(judged(1.0)) > mmd(judged(3.0))
    near, far = (proxy_a_distance(seen.source, seen.target) for seen in (judged(0.0), judged(4.0)))
    assert far > 1.5 > near
    assert domain_accuracy(judged(4.0).source, judged(4.0).target) == pytest.approx(far / 4 + 0.5)


def test_principal_axes_are_sklearns() -> None:
    rows = normal(40, 5, 0) @ torch.diag(torch.tensor([5.0, 3.0, 1.0, 0.5, 0.1]))
    expected = PCA(2).fit_transform(rows.double().numpy())
    found = principal_axes(rows)[0].numpy()
    for axis in range(2):  # an axis may point either way
        assert abs(found[:, axis]) == pytest.approx(abs(expected[:, axis]), abs=1e-4)
    assert principal_axes(rows[:, :1])[0][:, 1].abs().max() == 0
