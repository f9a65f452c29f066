"""Metrics of predicted numbers against scikit-learn and scipy; intervals against a simulation and by hand."""

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics as oracle
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from transfer_cli.errors import Diverged
from transfer_cli.metrics.regression import absolute_rows, intervals, regression


@st.composite
def numbers(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Predictions and truth with ties; whole columns may be constant."""
    rows, outputs = draw(st.integers(2, 25)), draw(st.integers(1, 4))
    values = st.sampled_from([-100.0, -3.25, 0.0, 0.5, 1.0, 7.0, 1234.5])
    both = draw(st.lists(values, min_size=2 * rows * outputs, max_size=2 * rows * outputs))
    one, two = torch.tensor(both, dtype=torch.float64).reshape(2, rows, outputs)
    return one, two


@settings(deadline=None)
@given(numbers())
def test_all_numbers_equal_scikit_learn_and_scipy(table: tuple[Tensor, Tensor]) -> None:
    predicted, truth = table[0].numpy(), table[1].numpy()
    got = regression(*table)
    want = {
        "rmse": oracle.root_mean_squared_error(truth, predicted),
        "mae": oracle.mean_absolute_error(truth, predicted),
        "r2": oracle.r2_score(truth, predicted),
    }
    outputs = truth.shape[1]
    if outputs > 1:
        for name, function in (
            ("rmse", oracle.root_mean_squared_error),
            ("mae", oracle.mean_absolute_error),
            ("r2", oracle.r2_score),
        ):
            each = function(truth, predicted, multioutput="raw_values")
            want |= {f"{name}/{output}": value for output, value in enumerate(each)}
    varied = [k for k in range(outputs) if np.ptp(truth[:, k]) and np.ptp(predicted[:, k])]
    ranks = {k: scipy.stats.spearmanr(predicted[:, k], truth[:, k]).statistic for k in varied}
    want |= {f"spearman/{k}": value for k, value in ranks.items()} if outputs > 1 else {}
    want |= {"spearman": float(np.mean(list(ranks.values())))} if ranks else {}
    assert got == pytest.approx(want, rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(numbers())
def test_errors_are_functions_of_row_values(table: tuple[Tensor, Tensor]) -> None:
    got = regression(*table)
    assert absolute_rows(*table).mean().item() == pytest.approx(got["mae"], rel=1e-12)


def test_one_row_has_no_r2_no_ranks_and_no_interval() -> None:
    one = torch.tensor([[3.0]]), torch.tensor([[1.0]])
    assert regression(*one) == {"rmse": 2, "mae": 2}
    assert intervals(*one) == {}


def test_intervals_by_hand() -> None:
    """Errors 1 and 3: mean 2, sd sqrt(2), so MAE 2 +- 1.959964 * sqrt(2) / sqrt(2). Squares 1 and 9: mean 5, sd
    sqrt(32); the root moves by sd / (2 sqrt(5)), so half = 1.959964 * sqrt(32) / (2 sqrt(5)) / sqrt(2)."""
    got = intervals(torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1))
    assert got["mae"] == pytest.approx((2 - 1.959964, 2 + 1.959964))
    half = 1.959964 * 32**0.5 / (2 * 5**0.5) / 2**0.5
    assert got["rmse"] == pytest.approx((max(0, 5**0.5 - half), 5**0.5 + half))


@pytest.mark.parametrize("outputs", [1, 3])
def test_intervals_hold_the_true_error_in_about_95_of_100_samples(outputs: int) -> None:
    """Errors of deviation 1, 2, ... an output: RMSE is their mean, MAE that times sqrt(2 / pi)."""
    scale = torch.arange(1, outputs + 1, dtype=torch.float64)
    true = {"rmse": scale.mean().item(), "mae": scale.mean().item() * (2 / np.pi) ** 0.5}
    generator = torch.Generator().manual_seed(0)
    held = dict.fromkeys(true, 0)
    for _ in range(400):
        errors = torch.randn(150, outputs, generator=generator, dtype=torch.float64) * scale
        for name, (low, high) in intervals(errors, torch.zeros_like(errors)).items():
            held[name] += low <= true[name] <= high
    for name, count in held.items():
        assert 365 <= count <= 395, name


def test_perfect_predictions_have_an_interval_of_no_width() -> None:
    rows = torch.tensor([[1.0, 2.0], [3.0, 5.0]])
    assert intervals(rows, rows) == {"mae": (0, 0), "rmse": (0, 0)}


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"predicted \[2, 1\], truth \[2\]"):
        regression(torch.zeros(2, 1), torch.zeros(2))
    with pytest.raises(Diverged, match="1 of 2 rows are not finite"):
        regression(torch.tensor([[0.0], [float("inf")]]), torch.zeros(2, 1))
