"""Metrics against scikit-learn and against plain loops; edge cases by hand."""

import math

import numpy as np
import pytest
import sklearn.metrics as oracle
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from transfer_cli.errors import Diverged
from transfer_cli.metrics.classification import classification, confusion, ece, nll


def draw(rows: int, classes: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (rows,), generator=rng)
    scores = torch.randn(rows, classes, generator=rng)
    return scores + 1.5 * torch.nn.functional.one_hot(labels, classes), labels


@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (7, 3), (400, 10), (30, 25)])
def test_all_numbers_equal_scikit_learn(rows: int, classes: int) -> None:
    """With 25 classes and 30 rows some classes do not occur: they count in no mean and get no line."""
    scores, labels = draw(rows, classes)
    got, predicted = classification(scores, labels), scores.argmax(1)
    occurring = sorted({*labels.tolist(), *predicted.tolist()})
    want = {"accuracy": oracle.accuracy_score(labels, predicted)}
    for suffix, average in (("", "macro"), ("_weighted", "weighted")):
        three = oracle.precision_recall_fscore_support(labels, predicted, average=average, zero_division=0)[:3]
        want |= dict(zip([f"precision{suffix}", f"recall{suffix}", f"f1{suffix}"], three))
    each = oracle.precision_recall_fscore_support(labels, predicted, labels=occurring, zero_division=0)[:3]
    for name, values in zip(("precision", "recall", "f1"), each):
        want |= {f"{name}/{i}": value for i, value in zip(occurring, values)}
    assert set(got) == set(want) | {"nll", "ece"} | ({"top5"} if classes > 5 else set())
    assert {name: got[name] for name in want} == pytest.approx(want, abs=1e-12)


def test_log_loss_equals_scikit_learn() -> None:
    scores, labels = draw(300, 7)
    share = scores.double().softmax(1).numpy()
    assert nll(scores, labels) == pytest.approx(oracle.log_loss(labels, share, labels=range(7)), abs=1e-12)


def test_top5_equals_scikit_learn() -> None:
    scores, labels = draw(200, 9)
    want = oracle.top_k_accuracy_score(labels, scores.numpy(), k=5, labels=range(9))
    assert classification(scores, labels)["top5"] == pytest.approx(want, abs=1e-12)


def test_confusion_has_truth_in_rows() -> None:
    scores, labels = draw(200, 6)
    assert confusion(scores, labels).tolist() == oracle.confusion_matrix(labels, scores.argmax(1)).tolist()
    assert confusion(torch.tensor([[0.0, 1.0]]), torch.tensor([0])).tolist() == [[0, 1], [0, 0]]


def plain_ece(scores: np.ndarray, labels: np.ndarray, bins: int = 15) -> float:
    total = 0.0
    share = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    for b in range(bins):
        inside = [i for i in range(len(labels)) if b / bins < share[i].max() <= (b + 1) / bins]
        if inside:
            confidence = sum(share[i].max() for i in inside) / len(inside)
            right = sum(int(scores[i].argmax()) == labels[i] for i in inside) / len(inside)
            total += abs(confidence - right) * len(inside) / len(labels)
    return total


@pytest.mark.parametrize(("rows", "classes"), [(1, 2), (50, 3), (500, 10)])
def test_ece_equals_the_loop(rows: int, classes: int) -> None:
    scores, labels = draw(rows, classes, seed=3)
    assert ece(scores, labels) == pytest.approx(plain_ece(scores.double().numpy(), labels.numpy()), abs=1e-9)


def test_ece_by_hand() -> None:
    """Two rows at probability .8, one right: |.8 - .5| = .3. A sure and right row adds nothing: 2/3 of .3."""
    even = [math.log(0.8), math.log(0.2)]
    assert ece(torch.tensor([even, even]), torch.tensor([0, 1])) == pytest.approx(0.3, abs=1e-6)
    three = torch.tensor([even, even, [0.0, -200.0]])
    assert ece(three, torch.tensor([0, 1, 0])) == pytest.approx(0.2, abs=1e-6)


def test_ties_go_to_the_lowest_class() -> None:
    """All scores equal: class 0 is predicted, and the first five classes are the best five."""
    got = classification(torch.zeros(4, 8), torch.tensor([0, 4, 5, 7]))
    assert got["accuracy"] == 0.25
    assert got["top5"] == 0.5
    assert got["precision/0"] == 0.25


def test_a_class_never_predicted_has_precision_0() -> None:
    got = classification(torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), torch.tensor([0, 1]))
    assert (got["precision/1"], got["recall/1"], got["f1/1"]) == (0.0, 0.0, 0.0)
    assert "f1/2" not in got
    assert got["recall"] == 0.5


def test_shares_are_exact_fractions() -> None:
    """1 of 3 right is the float nearest to 1/3, whatever the scores' precision."""
    scores = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]], dtype=torch.bfloat16)
    assert classification(scores, torch.tensor([0, 1, 1]))["accuracy"] == 1 / 3


def test_scores_that_differ_beyond_float32_are_no_ties() -> None:
    scores = torch.tensor([[1.0, 1.0 + 1e-12]], dtype=torch.float64)
    assert classification(scores, torch.tensor([1]))["accuracy"] == 1.0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 8), rows=st.integers(1, 30))
def test_nothing_depends_on_the_order_of_rows_or_a_shift_of_scores(seed: int, classes: int, rows: int) -> None:
    scores, labels = draw(rows, classes, seed)
    want, order = classification(scores, labels), torch.randperm(rows)
    assert classification(scores[order], labels[order]) == pytest.approx(want, abs=1e-9)
    assert classification(scores.double() + 64.0, labels) == pytest.approx(want, abs=1e-9)


def test_not_a_number_is_an_error_of_its_own() -> None:
    scores = torch.tensor([[0.0, 1.0], [float("nan"), 0.0]])
    with pytest.raises(Diverged, match=r"^scores: 1 of 2 rows are not numbers$"):
        classification(scores, torch.tensor([1, 0]))


@pytest.mark.parametrize(
    ("scores", "labels", "text"),
    [
        (torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), r"N > 0"),
        (torch.zeros(2, 3), torch.tensor([0]), r"labels \[1\]"),
        (torch.zeros(1, 3), torch.tensor([3]), r"integers in 0..2"),
        (torch.zeros(1, 3), torch.tensor([-1]), r"integers in 0..2"),
        (torch.zeros(1, 3), torch.tensor([1.0]), r"integers in 0..2"),
    ],
)
def test_what_does_not_fit_is_refused(scores: Tensor, labels: Tensor, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        classification(scores, labels)
