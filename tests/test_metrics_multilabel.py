"""Metrics of several labels a row against scikit-learn, ties and undefined labels included."""

import numpy as np
import pytest
import sklearn.metrics as oracle
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from transfer_cli.errors import Diverged
from transfer_cli.metrics.multilabel import f1_rows, multilabel, subset_rows


@st.composite
def tables(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Scores with many ties, among them the threshold itself, and labels that may be always or never there."""
    rows, labels = draw(st.integers(1, 25)), draw(st.integers(1, 5))
    levels = st.sampled_from([-1e6, -1.5, -1e-9, 0.0, 1e-9, 0.3, 2.0, 1e6])
    scores = draw(st.lists(levels, min_size=rows * labels, max_size=rows * labels))
    truth = draw(st.lists(st.booleans(), min_size=rows * labels, max_size=rows * labels))
    return torch.tensor(scores, dtype=torch.float64).reshape(rows, labels), torch.tensor(truth).reshape(rows, labels)


def expected(scores: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    predicted, labels = scores > 0, range(truth.shape[1])
    defined = [label for label in labels if 0 < truth[:, label].sum() < len(truth)]
    values = {f"auroc/{at}": oracle.roc_auc_score(truth[:, at], scores[:, at]) for at in defined}
    values |= {f"average_precision/{at}": oracle.average_precision_score(truth[:, at], scores[:, at]) for at in defined}
    if defined:
        values["auroc"] = float(oracle.roc_auc_score(truth[:, defined], scores[:, defined], average="macro"))
        values["average_precision"] = float(
            oracle.average_precision_score(truth[:, defined], scores[:, defined], average="macro")
        )
    each = [oracle.f1_score(truth[:, at], predicted[:, at], zero_division=0) for at in labels]
    pooled = oracle.f1_score(truth.ravel(), predicted.ravel(), zero_division=0)
    values |= {f"f1/{at}": value for at, value in enumerate(each)}
    values |= {"f1_micro": pooled, "f1_macro": float(np.mean(each))}
    values["subset_accuracy"] = float((predicted == truth).all(1).mean())
    values["hamming_loss"] = oracle.hamming_loss(truth.ravel(), predicted.ravel())
    return values | {"undefined_labels": len(each) - len(defined)}


@settings(deadline=None)
@given(tables())
def test_all_numbers_equal_scikit_learn(table: tuple[Tensor, Tensor]) -> None:
    scores, truth = table
    assert multilabel(scores, truth) == pytest.approx(expected(scores.numpy(), truth.numpy()), abs=1e-9)


def test_many_rows_equal_scikit_learns_own_multilabel_metrics() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((400, 6)) < 0.3
    scores = rng.normal(size=(400, 6)) + truth
    got = multilabel(torch.from_numpy(scores), torch.from_numpy(truth))
    for average in ("micro", "macro"):
        assert got[f"f1_{average}"] == pytest.approx(oracle.f1_score(truth, scores > 0, average=average), abs=1e-12)
    assert got["subset_accuracy"] == pytest.approx(oracle.accuracy_score(truth, scores > 0), abs=1e-12)
    assert got["hamming_loss"] == pytest.approx(oracle.hamming_loss(truth, scores > 0), abs=1e-12)


def test_a_label_that_every_row_has_is_counted_and_in_no_mean() -> None:
    scores = torch.tensor([[1.0, 2.0], [-1.0, 3.0]])
    got = multilabel(scores, torch.tensor([[True, True], [False, True]]))
    assert got["undefined_labels"] == 1
    assert got["auroc"] == got["auroc/0"] == 1
    assert "auroc/1" not in got
    alone = multilabel(scores[:, 1:], torch.tensor([[True], [True]]))
    assert "auroc" not in alone
    assert alone["f1_macro"] == 1


@settings(deadline=None)
@given(tables())
def test_the_metrics_of_rows_are_functions_of_row_values(table: tuple[Tensor, Tensor]) -> None:
    scores, truth = table
    got, f1 = multilabel(scores, truth), f1_rows(scores, truth).sum(0)
    assert subset_rows(scores, truth).mean().item() == pytest.approx(got["subset_accuracy"], abs=1e-12)
    assert (f1[0] / f1[1].clamp_min(1)).item() == pytest.approx(got["f1_micro"], abs=1e-12)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"scores \[2, 3\], truth \[2, 2\]"):
        multilabel(torch.zeros(2, 3), torch.zeros(2, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match="N > 0"):
        multilabel(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.bool))
    with pytest.raises(Diverged, match="1 of 2 rows"):
        multilabel(torch.tensor([[0.0], [float("nan")]]), torch.tensor([[True], [False]]))
