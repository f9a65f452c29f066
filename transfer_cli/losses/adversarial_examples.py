"""Adversarial examples: inputs changed slightly so that the net makes errors (FGSM and PGD)."""

from collections.abc import Callable

import torch
from torch import Tensor

Objective = Callable[[Tensor], Tensor]


def attacked(
    objective: Objective,
    pixels: Tensor,
    *,
    eps: float,
    steps: int = 1,
    rate: float | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """Changes each of the pixels [B, ...] in 0..1 by at most `eps`, within 0..1, so that `objective` of them () grows.
    Each of `steps` steps moves by `rate` (default 2.5 * eps / steps) along the sign of the gradient, then projects back
    into the allowed range.

    Projected gradient descent, Madry et al. 2018, arXiv:1706.06083, section 2.1. `start` [B, ...] is added to the
    pixels first (in the paper it is uniform in -eps..eps). One step without `start` is the fast gradient sign method,
    Goodfellow et al. 2015, arXiv:1412.6572, section 4. If the objective is a sum over rows, the result of a row depends
    on that row only."""
    rate = 2.5 * eps / steps if rate is None else rate
    low, high = (pixels - eps).clamp_min(0), (pixels + eps).clamp_max(1)
    adversarial = pixels if start is None else _within(pixels + start, low, high)
    for _ in range(steps):
        adversarial = adversarial.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(objective(adversarial), adversarial)
        adversarial = _within(adversarial + rate * gradient.sign(), low, high)
    return adversarial.detach()


def _within(pixels: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(pixels, low), high)
