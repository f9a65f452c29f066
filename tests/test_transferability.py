"""Scores of transferability against their formulas in plain loops, and the laws they keep."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.covariance import LedoitWolf
from torch import Tensor

from transfer_cli.transferability.a_distance import a_distance
from transfer_cli.transferability.h_score import h_score, h_score_shrunk
from transfer_cli.transferability.leep import leep
from transfer_cli.transferability.logme import logme
from transfer_cli.transferability.mmd import mmd
from transfer_cli.transferability.nce import nce
from transfer_cli.transferability.nearest import nearest
from transfer_cli.transferability.probe import FOLDS, PENALTY, folds, probe
from transfer_cli.transferability.transrate import transrate

Score = Callable[[Tensor, Tensor], Tensor]
OF_FEATURES: dict[str, Score] = {
    "logme": logme, "h_score": h_score, "h_score_shrunk": h_score_shrunk, "transrate": transrate,
    "nearest": nearest, "probe": probe,
}  # fmt: skip
OF_CLASSES: dict[str, Score] = {"leep": leep, "nce": lambda p, y: nce(p.argmax(1), y)}
ALL = OF_FEATURES | OF_CLASSES


def rows(n: int = 60, d: int = 7, classes: int = 3, gap: float = 1.0, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Features around class means, and labels of uneven classes."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (n,), generator=draw)
    labels[:classes] = torch.arange(classes)
    means = torch.randn(classes, d, generator=draw, dtype=torch.float64)
    return gap * means[labels] + torch.randn(n, d, generator=draw, dtype=torch.float64), labels


def chances(x: Tensor) -> Tensor:
    return (2 * x).softmax(1)


def given(name: str, x: Tensor) -> Tensor:
    return chances(x) if name in OF_CLASSES else x


SHAPES = [(60, 7, 3), (25, 40, 3), (12, 12, 2), (40, 1, 4)]


# against the formula
def evidence(t_log: float, f: np.ndarray, y: np.ndarray) -> float:
    """log N(y; 0, s (ff' + t I)) / n at the best s."""
    n = len(y)
    cov = f @ f.T + math.exp(t_log) * np.eye(n)
    s = y @ np.linalg.solve(cov, y) / n
    return -0.5 * (math.log(2 * math.pi * s) + np.linalg.slogdet(cov)[1] / n + 1)


def highest(f: np.ndarray, y: np.ndarray) -> float:
    near = max(np.linspace(-15, 15, 61), key=lambda t: evidence(t, f, y))
    best = minimize_scalar(lambda t: -evidence(t, f, y), bounds=(near - 0.6, near + 0.6), method="bounded")
    return -float(best.fun)


@pytest.mark.parametrize(("n", "d", "classes"), SHAPES)
def test_logme_is_the_largest_evidence(n: int, d: int, classes: int) -> None:
    x, labels = rows(n, d, classes)
    f, total = x.numpy(), 0.0
    for c in range(classes):
        y = (labels == c).double().numpy()
        total += highest(f, y)
    assert logme(x, labels).item() == pytest.approx(total / classes, abs=1e-7)


def test_logme_is_the_papers_iteration() -> None:
    """alpha and beta updated in turn, with the evidence of the paper's equation 2."""
    x, labels = rows(50, 6, 2)
    f, n, d = x.numpy(), 50, 6
    total = 0.0
    for c in range(2):
        y, alpha, beta = (labels == c).double().numpy(), 1.0, 1.0
        for _ in range(500):
            a = alpha * np.eye(d) + beta * f.T @ f
            m = beta * np.linalg.solve(a, f.T @ y)
            gamma = sum(beta * s / (alpha + beta * s) for s in np.linalg.eigvalsh(f.T @ f))
            alpha, beta = gamma / (m @ m), (n - gamma) / ((f @ m - y) @ (f @ m - y))
        a = alpha * np.eye(d) + beta * f.T @ f
        m = beta * np.linalg.solve(a, f.T @ y)
        total += n / 2 * math.log(beta) + d / 2 * math.log(alpha) - n / 2 * math.log(2 * math.pi)
        total -= beta / 2 * (f @ m - y) @ (f @ m - y) + alpha / 2 * m @ m + np.linalg.slogdet(a)[1] / 2
    assert logme(x, labels).item() == pytest.approx(total / 2 / n, abs=1e-9)


def class_means(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.stack([x[labels == label].mean(0) for label in labels])


@pytest.mark.parametrize(("n", "d", "classes"), SHAPES)
def test_h_score_is_the_trace(n: int, d: int, classes: int) -> None:
    x, labels = (part.numpy() for part in rows(n, d, classes))
    between = np.atleast_2d(np.cov(class_means(x, labels), rowvar=False))
    expected = np.trace(np.linalg.pinv(np.atleast_2d(np.cov(x, rowvar=False)), rcond=1e-10) @ between)
    assert h_score(torch.from_numpy(x), torch.from_numpy(labels)).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "d", "classes"), SHAPES)
def test_shrunk_h_score_uses_ledoit_and_wolf(n: int, d: int, classes: int) -> None:
    x, labels = (part.numpy() for part in rows(n, d, classes))
    fitted = LedoitWolf().fit(x)
    between = np.atleast_2d(np.cov(class_means(x, labels), rowvar=False, bias=True))
    expected = (1 - fitted.shrinkage_) * np.trace(np.linalg.solve(fitted.covariance_, between))
    assert h_score_shrunk(torch.from_numpy(x), torch.from_numpy(labels)).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "d", "classes"), SHAPES)
def test_transrate_is_the_difference_of_rates(n: int, d: int, classes: int) -> None:
    def rate(z: np.ndarray) -> float:
        return 0.5 * np.linalg.slogdet(np.eye(d) + z.T @ z / (len(z) * 1e-4))[1]

    x, labels = (part.numpy() for part in rows(n, d, classes))
    z = x - x.mean(0)
    expected = rate(z) - sum((labels == c).mean() * rate(z[labels == c]) for c in range(classes))
    assert transrate(torch.from_numpy(x), torch.from_numpy(labels)).item() == pytest.approx(expected, rel=1e-8)


def test_leep_and_nce_are_their_sums() -> None:
    x, labels = rows(50, 5, 3)
    p, y, n = chances(x).tolist(), labels.tolist(), 50
    joint = [[sum(p[i][z] for i in range(n) if y[i] == c) / n for z in range(5)] for c in range(3)]
    given_z = [[joint[c][z] / sum(joint[k][z] for k in range(3)) for z in range(5)] for c in range(3)]
    expected = sum(math.log(sum(given_z[y[i]][z] * p[i][z] for z in range(5))) for i in range(n)) / n
    assert leep(chances(x), labels).item() == pytest.approx(expected, abs=1e-12)

    seen = [max(range(5), key=lambda z: p[i][z]) for i in range(n)]
    share = {(z, c): sum(a == z and b == c for a, b in zip(seen, y)) / n for z in range(5) for c in range(3)}
    of = {z: sum(share[z, c] for c in range(3)) for z in range(5)}
    entropy = -sum(s * math.log(s / of[z]) for (z, _), s in share.items() if s)
    assert nce(torch.tensor(seen), labels).item() == pytest.approx(-entropy, abs=1e-12)


def test_nearest_looks_at_every_other_row() -> None:
    x, labels = rows(40, 3, 3)
    hits = 0
    for i in range(40):
        others = [(float((x[i] - x[j]).square().sum()), j) for j in range(40) if j != i]
        hits += int(labels[min(others)[1]] == labels[i])
    assert nearest(x, labels).item() == pytest.approx(hits / 40)


@pytest.mark.parametrize(("n", "d", "classes"), SHAPES[:2])
def test_probe_holds_out_every_fold_once(n: int, d: int, classes: int) -> None:
    x, labels = (part.numpy() for part in rows(n, d, classes))
    hits = 0
    for k in range(FOLDS):
        out = folds(n).numpy() == k
        mean, y = x[~out].mean(0), np.eye(classes)[labels[~out]]
        f = x[~out] - mean
        penalty = PENALTY * (f**2).sum() / len(f) * np.eye(d)
        weight = np.linalg.solve(f.T @ f + penalty, f.T @ (y - y.mean(0)))
        hits += (((x[out] - mean) @ weight + y.mean(0)).argmax(1) == labels[out]).sum()
    assert probe(torch.from_numpy(x), torch.from_numpy(labels)).item() == pytest.approx(hits / n)


def test_mmd_is_the_unbiased_estimate() -> None:
    (x, _), (y, _) = rows(9, 3), rows(7, 3, seed=1)
    both = torch.cat([x, y])
    apart = sorted(float((a - b).square().sum()) for i, a in enumerate(both) for b in both[:i])
    width = apart[(len(apart) - 1) // 2]

    def mean(a: Tensor, b: Tensor, same: bool) -> float:
        found = [
            math.exp(-float((u - v).square().sum()) / width)
            for i, u in enumerate(a)
            for j, v in enumerate(b)
            if not (same and i == j)
        ]
        return sum(found) / len(found)

    assert mmd(x, y).item() == pytest.approx(mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False), abs=1e-12)


def test_distances_are_small_within_and_large_between_clouds() -> None:
    (x, _), (y, _) = rows(200, 4, 1, gap=0.0), rows(150, 4, 1, gap=0.0, seed=1)
    assert abs(mmd(x, y).item()) < 0.02
    assert mmd(x, y + 3).item() > 0.5
    assert a_distance(x, y).item() < 0.4
    assert a_distance(x, y + 9).item() == 2.0


# laws
@pytest.mark.parametrize("name", ALL)
def test_many_labelings_are_as_one_by_one(name: str) -> None:
    x, labels = rows(30, 5, 3)
    draw = torch.Generator().manual_seed(0)
    many = torch.stack([labels[torch.randperm(30, generator=draw)] for _ in range(4)]).view(2, 2, 30)
    found = ALL[name](given(name, x), many)
    assert found.shape == (2, 2)
    alone = [ALL[name](given(name, x), each) for each in many.view(4, 30)]
    torch.testing.assert_close(found.view(4), torch.stack(alone), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_names_of_labels_mean_nothing(name: str) -> None:
    x, labels = rows()
    renamed = torch.tensor([70, -4, 11])[labels]
    torch.testing.assert_close(ALL[name](given(name, x), renamed), ALL[name](given(name, x), labels))


@pytest.mark.parametrize("name", OF_FEATURES)
@pytest.mark.parametrize(("n", "d"), [(60, 7), (20, 30)])
def test_turning_the_features_means_nothing(name: str, n: int, d: int) -> None:
    x, labels = rows(n, d)
    turn = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(3))).Q
    torch.testing.assert_close(ALL[name](x @ turn, labels), ALL[name](x, labels), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(OF_FEATURES) - {"transrate"}))
def test_scaling_the_features_means_nothing(name: str) -> None:
    x, labels = rows()
    torch.testing.assert_close(ALL[name](x * 1e3, labels), ALL[name](x, labels), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", sorted(set(OF_FEATURES) - {"logme"}))
def test_shifting_the_features_means_nothing(name: str) -> None:
    x, labels = rows()
    torch.testing.assert_close(ALL[name](x + 5, labels), ALL[name](x, labels), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_shuffled_labels_score_lower(name: str) -> None:
    x, labels = rows(90, 6, 3, gap=2.0)
    shuffled = torch.stack(
        [labels[torch.randperm(90, generator=torch.Generator().manual_seed(seed))] for seed in range(10)]
    )
    assert ALL[name](given(name, x), labels) > ALL[name](given(name, x), shuffled).max()


# corners
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("kind", ["constant columns", "zeros", "one row of a class", "one class", "one row", "copies"])
def test_corners_are_finite(name: str, kind: str) -> None:
    x, labels = rows(20, 30, 3)
    if kind == "constant columns":
        x[:, :10], x[:, 10:20] = 0.0, 3.0
    elif kind == "zeros":
        x = torch.zeros_like(x)
    elif kind == "one row of a class":
        labels = torch.tensor([0] * 10 + [1] * 9 + [2])
    elif kind == "one class":
        labels = torch.zeros_like(labels)
    elif kind == "one row":
        x, labels = x[:1], labels[:1]
    else:
        x = x[:1].expand(20, -1)
    found = ALL[name](given(name, x), labels)
    assert found.isfinite()
    assert found.dtype == torch.float64


def test_a_constant_column_changes_only_what_knows_of_an_origin() -> None:
    x, labels = rows()
    wider = torch.cat([x, torch.full((60, 2), 4.0)], 1)
    for name in ("h_score", "transrate", "nearest", "probe"):
        torch.testing.assert_close(ALL[name](wider, labels), ALL[name](x, labels), rtol=1e-8, atol=1e-8)


def test_h_score_of_few_rows_says_nothing_and_shrunk_does() -> None:
    x, labels = rows(20, 40, 3, gap=2.0)
    shuffled = labels[torch.randperm(20, generator=torch.Generator().manual_seed(0))]
    torch.testing.assert_close(h_score(x, torch.stack([labels, shuffled])), torch.tensor([2.0, 2.0]).double())
    assert h_score_shrunk(x, labels) > h_score_shrunk(x, shuffled) + 0.1


@pytest.mark.parametrize(
    ("x", "labels"),
    [
        (torch.ones(3), torch.zeros(3)),
        (torch.ones(3, 2), torch.zeros(2)),
        (torch.ones(0, 2), torch.zeros(0)),
        (torch.ones(3, 2), torch.zeros(0, 3)),
    ],
)
def test_wrong_shapes_are_named(x: Tensor, labels: Tensor) -> None:
    with pytest.raises(
        ValueError, match=r"^score: features \[.*\], labels \[.*\]; expected \[N, D\] and \[\.\.\., N\]"
    ):
        logme(x, labels)


def test_a_feature_that_is_no_number_is_told() -> None:
    with pytest.raises(ValueError, match=r"^score: features hold NaN or infinity$"):
        h_score(torch.tensor([[1.0, float("nan")], [0.0, 1.0]]), torch.tensor([0, 1]))
