"""Pictures changed a little so that a net errs: FGSM and PGD."""

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
    """Pixels [B, ...] in 0..1, each moved by at most `eps` and kept in 0..1, so that `objective` of them () grows:
    `steps` times by `rate` (2.5 * eps / steps unless given) along the sign of its gradient, back into reach after each.

    Projected gradient descent, Madry et al. 2018, arXiv:1706.06083, section 2.1; `start` [B, ...] is its first move
    (uniform in -eps..eps there; none: at the pixels). One step without `start` is the fast gradient sign method,
    Goodfellow et al. 2015, arXiv:1412.6572, section 4. If the objective is a sum over rows, each row's result depends
    on that row alone."""
    rate = 2.5 * eps / steps if rate is None else rate
    low, high = (pixels - eps).clamp_min(0), (pixels + eps).clamp_max(1)
    moved = pixels if start is None else _within(pixels + start, low, high)
    for _ in range(steps):
        moved = moved.detach().requires_grad_()
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(objective(moved), moved)
        moved = _within(moved + rate * slope.sign(), low, high)
    return moved.detach()


def _within(pixels: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(pixels, low), high)
