"""FGSM and PGD: never further than eps, never a lower loss on a linear net, and the steps of a loop by hand."""

from itertools import product

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from transfer_cli.losses.adversarial_examples import attacked

relaxed = settings(deadline=None, max_examples=40)
seeds, reaches = st.integers(0, 1000), st.floats(0, 0.5)


class Linear:
    """Scores of a linear net on pixels [B, D], and the summed cross-entropy of their labels. float64."""

    def __init__(self, seed: int, rows: int = 6, width: int = 5, classes: int = 3) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.pixels = torch.rand(rows, width, generator=generator, dtype=torch.float64)
        self.weight = torch.randn(width, classes, generator=generator, dtype=torch.float64)
        self.labels = torch.randint(classes, (rows,), generator=generator)
        self.start = torch.rand(rows, width, generator=generator, dtype=torch.float64) * 2 - 1

    def each(self, pixels: Tensor) -> Tensor:
        return nn.functional.cross_entropy(pixels @ self.weight, self.labels, reduction="none")

    def __call__(self, pixels: Tensor) -> Tensor:
        return self.each(pixels).sum()


@relaxed
@given(seeds, reaches, st.integers(1, 5), st.booleans())
def test_no_pixel_moves_further_than_eps_or_out_of_range(seed: int, eps: float, steps: int, random: bool) -> None:
    net = Linear(seed)
    moved = attacked(net, net.pixels, eps=eps, steps=steps, start=eps * net.start if random else None)
    assert (moved - net.pixels).abs().max() <= eps + 1e-15
    assert 0 <= moved.min() <= moved.max() <= 1
    assert not moved.requires_grad


@relaxed
@given(seeds, reaches, st.integers(1, 5))
def test_on_a_linear_net_of_two_classes_the_loss_of_no_row_falls(seed: int, eps: float, steps: int) -> None:
    net = Linear(seed, classes=2)
    moved = attacked(net, net.pixels, eps=eps, steps=steps)
    assert (net.each(moved) >= net.each(net.pixels) - 1e-12).all()


@relaxed
@given(seeds, st.floats(0.01, 0.5))
def test_on_a_linear_net_of_two_classes_one_step_is_the_worst_there_is(seed: int, eps: float) -> None:
    """Brute force over all corners of what is in reach."""
    net = Linear(seed, width=4, classes=2)
    low, high = (net.pixels - eps).clamp(0, 1), (net.pixels + eps).clamp(0, 1)
    worst = torch.full((6,), -torch.inf, dtype=torch.float64)
    for corner in product([False, True], repeat=4):
        worst = torch.maximum(worst, net.each(torch.where(torch.tensor(corner), high, low)))
    torch.testing.assert_close(net.each(attacked(net, net.pixels, eps=eps, rate=eps)), worst)


@relaxed
@given(seeds, reaches)
def test_fgsm_is_pgd_of_one_step_without_a_random_start(seed: int, eps: float) -> None:
    net = Linear(seed)
    pixels = net.pixels.clone().requires_grad_()
    (slope,) = torch.autograd.grad(net(pixels), pixels)
    by_hand = (net.pixels + eps * slope.sign()).clamp(0, 1)
    fgsm = attacked(net, net.pixels, eps=eps, rate=eps)
    torch.testing.assert_close(fgsm, by_hand)
    assert torch.equal(fgsm, attacked(net, net.pixels, eps=eps, steps=1))  # 2.5 eps, back into reach


@relaxed
@given(seeds, st.floats(0.01, 0.5), st.integers(1, 6), st.booleans())
def test_pgd_is_the_loop_by_hand(seed: int, eps: float, steps: int, random: bool) -> None:
    """Row by row and pixel by pixel, with the gradient of softmax regression written out."""
    net = Linear(seed)
    start = eps * net.start if random else None
    moved = attacked(net, net.pixels, eps=eps, steps=steps, start=start)
    for row in range(len(net.pixels)):
        clean = net.pixels[row].tolist()
        x = [min(max(p + (start[row, i].item() if random else 0.0), 0.0), 1.0) for i, p in enumerate(clean)]
        for _ in range(steps):
            chance = (torch.tensor(x, dtype=torch.float64) @ net.weight).softmax(0)
            chance[net.labels[row]] -= 1
            slope = (net.weight @ chance).tolist()
            for i, (at, s) in enumerate(zip(x, slope, strict=True)):
                to = at + 2.5 * eps / steps * (s > 0) - 2.5 * eps / steps * (s < 0)
                x[i] = min(max(to, clean[i] - eps, 0.0), clean[i] + eps, 1.0)
        torch.testing.assert_close(moved[row], torch.tensor(x, dtype=torch.float64))


def test_more_steps_find_more_where_the_net_is_not_linear() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 3)).double()
    pixels, labels = torch.rand(64, 8, dtype=torch.float64), torch.randint(3, (64,))

    def loss(x: Tensor) -> Tensor:
        return nn.functional.cross_entropy(net(x), labels, reduction="sum")

    clean, one, many = (loss(x).item() for x in (pixels, *(attacked(loss, pixels, eps=0.3, steps=n) for n in (1, 10))))
    assert clean < one < many


def test_an_attack_works_where_gradients_are_off_and_leaves_the_net_without_any() -> None:
    net = Linear(0)
    net.weight.requires_grad_()
    with torch.no_grad():
        moved = attacked(net, net.pixels, eps=0.1)
    assert not torch.equal(moved, net.pixels)
    assert net.weight.grad is None


def test_eps_zero_moves_nothing() -> None:
    net = Linear(0)
    assert torch.equal(attacked(net, net.pixels, eps=0.0, steps=3), net.pixels)
