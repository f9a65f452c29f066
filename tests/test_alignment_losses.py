"""Distances between source and target, and what methods of adaptation lose: against brute force and libraries."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from transfer_cli.losses import means
from transfer_cli.losses.adversarial import domain_loss, gradient_reversal, ramp_up
from transfer_cli.losses.certainty import class_confusion, entropies, information
from transfer_cli.losses.coral import coral
from transfer_cli.losses.mmd import FACTORS, SOFTMAX_WIDTH, jmmd, mk_mmd, mmd
from transfer_cli.losses.spectral import largest_singular
from transfer_cli.losses.swd import swd
from transfer_cli.losses.wasserstein import wasserstein

DISTANCES = {
    "euclidean": means.euclidean, "cosine": means.cosine, "mmd": mmd, "mk_mmd": mk_mmd, "coral": coral, "swd": swd,
    "wasserstein": wasserstein,
}  # fmt: skip


def normal(rows: int, d: int, seed: int) -> Tensor:
    return torch.randn(rows, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def squared(a: Tensor, b: Tensor) -> float:
    return float(sum((x - y) ** 2 for x, y in zip(a.tolist(), b.tolist())))


def double_loop(x: Tensor, y: Tensor, kernel) -> float:
    """Biased MMD^2 of rows by index: kernel(i, j) of all rows of both."""
    n, m = len(x), len(y)
    near = sum(kernel(i, j) for i in range(n) for j in range(n)) / n**2
    far = sum(kernel(n + i, n + j) for i in range(m) for j in range(m)) / m**2
    across = sum(kernel(i, n + j) for i in range(n) for j in range(m)) / (n * m)
    return near + far - 2 * across


@pytest.mark.parametrize(("n", "m", "d"), [(2, 2, 1), (7, 5, 3)])
def test_mmd_is_the_double_loop(n: int, m: int, d: int) -> None:
    x, y = normal(n, d, 0), normal(m, d, 1) + 1
    rows = [*x, *y]
    expected = double_loop(x, y, lambda i, j: math.exp(-squared(rows[i], rows[j]) / (2 * 1.5**2)))
    assert mmd(x, y, bandwidth=1.5).item() == pytest.approx(expected, rel=1e-9)


def test_mk_mmd_is_the_double_loop_over_five_kernels() -> None:
    x, y = normal(6, 3, 0), normal(5, 3, 1) + 1
    rows = [*x, *y]
    unit = sum(squared(a, b) for a in rows for b in rows) / len(rows) ** 2
    expected = double_loop(
        x, y, lambda i, j: sum(math.exp(-squared(rows[i], rows[j]) / (factor * unit)) for factor in FACTORS)
    )
    assert mk_mmd(x, y).item() == pytest.approx(expected, rel=1e-9)


def test_jmmd_multiplies_the_kernels_of_layers() -> None:
    x, y = normal(5, 3, 0), normal(4, 3, 1) + 1
    p, q = normal(5, 2, 2).softmax(1), normal(4, 2, 3).softmax(1)
    rows, likely = [*x, *y], [*p, *q]
    unit = sum(squared(a, b) for a in rows for b in rows) / len(rows) ** 2

    def kernel(i: int, j: int) -> float:
        features = sum(math.exp(-squared(rows[i], rows[j]) / (factor * unit)) for factor in FACTORS)
        return features * math.exp(-squared(likely[i], likely[j]) / (2 * SOFTMAX_WIDTH**2))

    assert jmmd((x, p), (y, q)).item() == pytest.approx(double_loop(x, y, kernel), rel=1e-9)


def test_sliced_wasserstein_in_one_dimension_is_exact() -> None:
    """One axis, up to its sign: sorted values are matched."""
    x, y = normal(9, 1, 0), normal(9, 1, 1) + 2
    expected = float(np.mean((np.sort(x.numpy()[:, 0]) - np.sort(y.numpy()[:, 0])) ** 2))
    assert swd(x, y, directions=4).item() == pytest.approx(expected, rel=1e-9)


def test_sliced_wasserstein_of_a_shift_is_its_mean_square_along_directions() -> None:
    """Along a unit direction w a shift s moves by w.s, whose square is |s|^2 / D on average."""
    x, shift = normal(40, 3, 0), torch.tensor([3.0, 0.0, 4.0]).double()
    torch.manual_seed(0)
    assert swd(x, x + shift, directions=20_000).item() == pytest.approx(25 / 3, rel=0.02)
    assert swd(x, x[:13], directions=8).item() < swd(x, x[:13] + shift, directions=8).item()


def test_wasserstein_nears_the_best_assignment() -> None:
    x, y = normal(12, 4, 0), normal(12, 4, 1) + 1
    cost = torch.cdist(x, y).square().numpy() / 4
    best = cost[linear_sum_assignment(cost)].mean()
    assert wasserstein(x, y, blur=0.005, iterations=2000).item() == pytest.approx(best, rel=0.01)


@pytest.mark.parametrize("name", DISTANCES)
def test_laws_of_every_distance(name: str) -> None:
    """Nothing between equals, more for more shift, the same both ways, no matter the order of rows."""
    distance, x = DISTANCES[name], normal(24, 3, 0) + 2

    def between(a: Tensor, b: Tensor) -> float:
        torch.manual_seed(1)
        return distance(a, b).item()

    scale = torch.tensor([3.0, 1.0, 0.2]).double()
    zero = 0.05 if name == "wasserstein" else 1e-9  # the entropic plan is a little blurred
    assert between(x, x.flip(0)) == pytest.approx(0, abs=zero)
    assert between(x, x * scale) > between(x, x * scale.sqrt()) > zero
    near = 1e-2 if name == "wasserstein" else 1e-6  # its iteration ends on one side
    assert between(x, x * scale) == pytest.approx(between(x * scale, x), rel=near)


@pytest.mark.parametrize("name", DISTANCES)
def test_distances_have_gradients_and_refuse_other_shapes(name: str) -> None:
    distance = DISTANCES[name]
    x = normal(5, 3, 0).requires_grad_()
    distance(x, normal(5, 3, 1)).backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    with pytest.raises(ValueError, match=f"{name}: 3 source features, 2 target features"):
        distance(normal(4, 3, 0), normal(4, 2, 0))


def test_largest_singular_value_and_its_gradient() -> None:
    for shape in ((6, 4), (4, 6)):
        x = normal(*shape, 0).requires_grad_()
        value = largest_singular(x)
        assert value.item() == pytest.approx(torch.linalg.svdvals(x)[0].item(), rel=1e-10)
        (gradient,) = torch.autograd.grad(value, x)
        (expected,) = torch.autograd.grad(torch.linalg.svdvals(x)[0], x)
        torch.testing.assert_close(gradient, expected)


def test_reversal_turns_gradients_only() -> None:
    x = normal(3, 2, 0).requires_grad_()
    y = gradient_reversal(x, 0.3)
    assert torch.equal(y, x)
    y.square().sum().backward()
    torch.testing.assert_close(x.grad, -0.3 * 2 * x.detach())


def test_rise_is_the_papers_schedule_at_half() -> None:
    for fraction in (0.0, 0.1, 0.5, 1.0):
        assert ramp_up(fraction, 0.5) == pytest.approx(2 / (1 + math.exp(-10 * fraction)) - 1)
    assert ramp_up(0.0, 0.0) == 1.0


def test_domain_loss_is_binary_cross_entropy() -> None:
    near, far = normal(5, 1, 0)[:, 0], normal(7, 1, 1)[:, 0]
    bce = nn.functional.binary_cross_entropy_with_logits
    expected = (bce(near, torch.ones_like(near)) + bce(far, torch.zeros_like(far))) / 2
    torch.testing.assert_close(domain_loss(near, far), expected)
    weights = (torch.arange(1.0, 6), torch.ones(7))
    weighted = bce(near, torch.ones_like(near), weight=weights[0] / weights[0].mean())
    torch.testing.assert_close(
        domain_loss(near, far, weights), (weighted + bce(far, torch.zeros_like(far))) / 2, check_dtype=False
    )


def test_information_by_hand() -> None:
    """Sure and even over two classes: log 2. Sure of one class: 0. Unsure: 0."""
    sure = torch.tensor([[20.0, -20.0], [-20.0, 20.0]])
    assert information(sure).item() == pytest.approx(math.log(2), abs=1e-6)
    assert information(sure[:1].repeat(4, 1)).item() == pytest.approx(0, abs=1e-6)
    assert information(torch.zeros(4, 2)).item() == pytest.approx(0, abs=1e-6)
    assert entropies(torch.zeros(3, 4)).tolist() == pytest.approx([math.log(4)] * 3)


def test_class_confusion_by_loops() -> None:
    scores, temperature = normal(6, 3, 0).float(), 2.5
    likely = (scores / temperature).softmax(1)
    weight = [1 + math.exp(float((row * row.log()).sum())) for row in likely]
    weight = [w * len(weight) / sum(weight) for w in weight]
    table = [[sum(w * float(p[i] * p[j]) for w, p in zip(weight, likely)) for j in range(3)] for i in range(3)]
    off = sum(table[i][j] / sum(table[i]) for i, j in itertools.product(range(3), range(3)) if i != j) / 3
    assert class_confusion(scores, temperature).item() == pytest.approx(off, rel=1e-5)
