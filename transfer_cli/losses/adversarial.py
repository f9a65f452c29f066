"""Gradient reversal, its schedule, and the loss of a domain discriminator."""

import math
from typing import Any

import torch
from torch import Tensor, nn


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.strength * gradients[0], None


def gradient_reversal(x: Tensor, strength: float = 1.0) -> Tensor:
    """Returns x unchanged; in the backward pass the gradient is multiplied by -`strength`. Ganin & Lempitsky 2015,
    arXiv:1409.7495, eq. 4."""
    output: Tensor = _Reverse.apply(x, strength)
    return output


def ramp_up(fraction: float, share: float) -> float:
    """Returns a factor that rises from 0 to 1 over the first `share` of training: 2 / (1 + exp(-5 f / share)) - 1 at
    the completed fraction f of training, or 1 from the start if share is 0. With share 0.5 this is the schedule of
    Ganin et al. 2016, arXiv:1505.07818, section 5.2.2."""
    return 1.0 if not share else 2 / (1 + math.exp(-5 * fraction / share)) - 1


def domain_loss(source: Tensor, target: Tensor, weights: tuple[Tensor, Tensor] | None = None) -> Tensor:
    """Binary cross-entropy () of the discriminator's scores for source rows [N], label 1, and target rows [M], label 0.
    Both sides have equal weight. `weights`: row weights [N] and [M]; the mean of each side is weighted with its own."""
    losses = (nn.functional.softplus(-source), nn.functional.softplus(target))
    if weights is None:
        return (losses[0].mean() + losses[1].mean()) / 2
    means = [(loss * weight).sum() / weight.sum() for loss, weight in zip(losses, weights, strict=True)]
    return (means[0] + means[1]) / 2
