"""Augmentation of a batch: properties, an independent implementation for single pictures, and independent random
numbers."""

import numpy as np
import pytest
import torch
from torch import Tensor

from transfer_cli.kinds._augmentation import augment

SHAPES = [(6, 1, 28, 28), (6, 3, 32, 32), (6, 3, 20, 36), (1, 3, 8, 8), (6, 2, 16, 16)]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def images(*shape: int) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def one_by_one(pixels: Tensor, policy: str, seed: int, flip: bool) -> list[np.ndarray]:
    """The same policies, a picture at a time, in numpy: pad, slice, mirror, then brightness, contrast, saturation in
    turn, then the square."""
    draws = rng(seed).random((8, len(pixels)))
    return [_one(np.asarray(image, np.float64), draws[:, row], policy, flip) for row, image in enumerate(pixels)]


def _one(image: np.ndarray, draw: np.ndarray, policy: str, flip: bool) -> np.ndarray:
    channels, height, width = image.shape
    up, side = height // 8, width // 8
    top, left = int(draw[0] * (2 * up + 1)), int(draw[1] * (2 * side + 1))
    padded = np.pad(image, ((0, 0), (up, up), (side, side)), mode="reflect")
    image = padded[:, top : top + height, left : left + width]
    if flip and draw[2] < 0.5:
        image = image[:, :, ::-1]
    if policy == "weak":
        return image

    def luma(x: np.ndarray) -> np.ndarray:
        return np.einsum("c,chw->hw", [0.299, 0.587, 0.114], x) if channels == 3 else x.mean(0)

    bright, contrast, colour = 0.6 + 0.8 * draw[3:6]
    image = image * bright
    mean = luma(image).mean()
    image = contrast * image + (1 - contrast) * mean
    if channels == 3:
        image = colour * image + (1 - colour) * luma(image)
    image = image.clip(0, 255)
    row, column = int(draw[6] * height), int(draw[7] * width)
    rows = slice(max(0, row - height // 4), row + height // 4)
    image[:, rows, max(0, column - width // 4) : column + width // 4] = min(mean, 255)
    return image


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("policy", ["weak", "strong"])
@pytest.mark.parametrize("flip", [True, False])
def test_equals_the_picture_by_picture_version(shape, policy, flip):
    pixels = images(*shape)
    got = augment(pixels, policy, rng(3), flip=flip)
    want = np.stack(one_by_one(pixels, policy, 3, flip))
    np.testing.assert_allclose(got.double().numpy(), want, atol=2e-3)


@pytest.mark.parametrize("shape", SHAPES)
def test_shape_type_and_range(shape):
    pixels = images(*shape)
    assert augment(pixels, "none", rng()) is pixels
    weak, strong = (augment(pixels, policy, rng()) for policy in ("weak", "strong"))
    assert weak.shape == strong.shape == pixels.shape
    assert (weak.dtype, strong.dtype) == (torch.uint8, torch.float32)
    assert strong.min() >= 0
    assert strong.max() <= 255
    torch.testing.assert_close(augment(pixels.float(), "weak", rng()), weak.float())


def test_the_input_is_not_changed():
    pixels = images(4, 3, 16, 16)
    before = pixels.clone()
    for policy in ("weak", "strong"):
        augment(pixels, policy, rng())
        augment(pixels.float(), policy, rng())
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("policy", ["weak", "strong"])
def test_each_picture_has_its_own_random_numbers(policy):
    pixels = images(1, 3, 32, 32).expand(64, 3, 32, 32)
    assert len({image.numpy().tobytes() for image in augment(pixels, policy, rng())}) > 40


@pytest.mark.parametrize("policy", ["weak", "strong"])
def test_the_result_depends_on_the_generator(policy):
    pixels = images(8, 3, 32, 32)
    first, again, other = (augment(pixels, policy, rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(0)
    assert torch.equal(augment(pixels, policy, rng(1)), first)


@pytest.mark.parametrize("policy", ["weak", "strong"])
def test_a_picture_does_not_depend_on_its_neighbours(policy):
    """Random numbers depend on the position in the batch, not on the other pictures."""
    pixels, others = images(8, 3, 32, 32), images(8, 3, 32, 32)
    others[1:] = 0
    torch.testing.assert_close(augment(pixels, policy, rng(5))[0], augment(others, policy, rng(5))[0])


def test_without_flip_nothing_is_mirrored():
    """A ramp from left to right still rises in the middle after every shift."""
    ramp = (torch.arange(32) * 8).to(torch.uint8).expand(200, 1, 32, 32)
    moved = augment(ramp, "weak", rng(), flip=False).int()
    assert (moved[..., 20] > moved[..., 12]).all()
    mirrored = augment(ramp, "weak", rng(), flip=True).int()
    share = (mirrored[..., 20] < mirrored[..., 12]).all(2).float().mean()
    assert 0.35 < share < 0.65


def test_shifts_cover_an_eighth_each_way_evenly():
    ramp = torch.arange(32, dtype=torch.float32).expand(3000, 1, 32, 32)
    columns = augment(ramp, "weak", rng(), flip=False)[:, 0, 0, 16] - 16
    counts = torch.bincount((columns + 4).long(), minlength=9)
    assert columns.abs().max() == 4
    assert counts.min() > 3000 / 9 * 0.75


def test_memory_layouts_give_equal_results():
    pixels = images(8, 3, 32, 32)
    laid = pixels.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(augment(pixels, "strong", rng()), augment(laid, "strong", rng()))


def test_an_unknown_policy():
    with pytest.raises(ValueError, match="policy 'week', allowed none, weak, strong"):
        augment(images(1, 1, 8, 8), "week", rng())
