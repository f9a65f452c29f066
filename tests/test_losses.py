"""Losses: by hand, against numpy, and the laws they obey."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from transfer_cli.losses.coral import coral


def features(rows: int, d: int, seed: int) -> Tensor:
    return torch.randn(rows, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_coral_by_hand() -> None:
    """var[0, 2] = 2, var[0, 4] = 8, d = 1: (2 - 8)**2 / (4 * 1) = 9."""
    assert coral(torch.tensor([[0.0], [2.0]]), torch.tensor([[0.0], [4.0]])).item() == 9.0


@pytest.mark.parametrize(("n", "m", "d"), [(2, 2, 1), (7, 5, 3), (64, 32, 128)])
def test_coral_equals_numpy(n: int, m: int, d: int) -> None:
    x, y = features(n, d, 0), 2 * features(m, d, 1)
    a, b = (np.cov(z.numpy().T).reshape(d, d) for z in (x, y))
    assert coral(x, y).item() == pytest.approx(((a - b) ** 2).sum() / (4 * d * d), rel=1e-12)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.floats(-10, 10))
def test_coral_ignores_means_order_and_sides(seed: int, shift: float) -> None:
    x, y = features(8, 3, seed), features(6, 3, seed + 1)
    expected = coral(x, y)
    torch.testing.assert_close(coral(x + shift, y.flip(0)), expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(coral(y, x), expected)
    assert coral(x, x.flip(0)).item() == pytest.approx(0, abs=1e-20)


def test_coral_has_the_right_gradient() -> None:
    x, y = features(5, 3, 0).requires_grad_(), features(4, 3, 1).requires_grad_()
    assert torch.autograd.gradcheck(coral, (x, y))


def test_coral_keeps_its_digits_under_autocast() -> None:
    """In bf16 a covariance near 1 has an error near .004, a fifth of the differences here."""
    x = features(64, 8, 0)
    with torch.autocast("cpu", torch.bfloat16):
        got = coral(x.float(), 1.01 * x.float()).item()
    gap = np.cov(x.numpy().T) - np.cov(1.01 * x.numpy().T)
    assert got == pytest.approx((gap**2).sum() / (4 * 8 * 8), rel=1e-4)


@pytest.mark.parametrize(
    ("n", "m", "text"),
    [
        ((1, 3), (4, 3), r"coral: source \[1, 3\], expected"),
        ((4, 3), (3,), r"coral: target \[3\]"),
        ((4, 3), (4, 2), r"3 source features, 2 target features"),
    ],
)
def test_coral_refuses_shapes(n: tuple[int, ...], m: tuple[int, ...], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        coral(torch.zeros(n), torch.zeros(m))
