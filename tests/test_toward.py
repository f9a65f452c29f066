"""A loss made of gradients: its value and its gradients are those that were given."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from transfer_cli.losses.toward import toward

SHAPES = st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=4)
relaxed = settings(deadline=None, max_examples=50)


def tensors(shapes: list[tuple[int, ...]], seed: int, scale: float) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(shape, generator=generator) for shape in shapes]


@relaxed
@given(SHAPES, st.integers(0, 9), st.sampled_from([1e-6, 1.0, 1e20]), st.floats(-1e6, 1e6, width=32))
def test_value_and_gradients_are_those_given(
    shapes: list[tuple[int, ...]], seed: int, scale: float, value: float
) -> None:
    """Exactly, of whatever size: 1e20 would swallow any value that it is added to."""
    parameters = [nn.Parameter(x) for x in tensors(shapes, seed, scale)]
    slopes = tensors(shapes, seed + 1, scale)
    loss = toward(parameters, slopes, torch.tensor(value))
    assert loss.shape == ()
    assert loss.item() == value
    loss.backward()
    for parameter, slope in zip(parameters, slopes, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, slope)


@relaxed
@given(st.integers(0, 9), st.floats(0.125, 8, width=32))
def test_a_weight_scales_the_gradients(seed: int, weight: float) -> None:
    """As micro-batches and shares of several processes do it."""
    (parameter,), (slope,) = ([nn.Parameter(x) for x in tensors([(3, 2)], seed, 1.0)], tensors([(3, 2)], seed + 1, 1.0))
    (weight * toward([parameter], [slope], torch.tensor(2.0))).backward()
    torch.testing.assert_close(parameter.grad, weight * slope)


def test_no_gradient_reaches_what_slopes_and_value_came_from() -> None:
    parameter = nn.Parameter(torch.ones(2))
    inner = (parameter**3).sum()
    (slope,) = torch.autograd.grad(inner, parameter, create_graph=True)
    toward([parameter], [slope], inner).backward()
    assert torch.equal(parameter.grad, torch.full((2,), 3.0))


def test_a_parameter_without_slope_gets_no_gradient() -> None:
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))
    toward([first, second], [torch.ones(2), None], torch.tensor(1.0)).backward()
    assert first.grad is not None
    assert second.grad is None


def test_an_optimiser_step_goes_where_the_slopes_say() -> None:
    """Reptile's step by hand: rate 1/2 towards (4, 8) from (2, 2) is (3, 5)."""
    parameter = nn.Parameter(torch.tensor([2.0, 2.0]))
    optimizer = torch.optim.SGD([parameter], 0.5)
    toward([parameter], [parameter.detach() - torch.tensor([4.0, 8.0])], torch.tensor(0.0)).backward()
    optimizer.step()
    assert parameter.tolist() == [3.0, 5.0]


def test_shapes_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match=r"toward: slope 0 \[3\], its parameter \[2\]"):
        toward([nn.Parameter(torch.ones(2))], [torch.ones(3)], torch.tensor(0.0))
