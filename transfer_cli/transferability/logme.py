"""LogME: the evidence of a Bayesian linear model from features to each class, maximised over its noise and prior. You
et al. 2021, arXiv:2102.11005; with the fixed-point iteration of You et al. 2022, arXiv:2110.10545."""

from math import log, pi

import torch
from torch import Tensor

from transfer_cli.transferability.labelings import axes, checked, counts

STEPS = 300
# Relative change of t = alpha / beta at convergence. The evidence is flat there, so its error is far smaller.
CLOSE = 1e-6
# Bounds of t, relative to the mean squared norm of a row; reached if labels have no noise, or only noise.
MIN_RATIO, MAX_RATIO = 1e-8, 1e8


def logme(features: Tensor, labels: Tensor) -> Tensor:
    """Mean over classes of the log evidence per row; larger is better. Shapes: features [N, D], labels [..., N] ->
    [...] float64. It does not change under rotation and common scaling of the features. Raises ValueError as `checked`
    does."""
    x, numbered, classes = checked(features, labels)
    squares, along = axes(x, numbered, classes)
    rows = counts(numbered, classes, x)
    unit = float(x.square().sum() / len(x)) or 1.0
    inside = along.square()
    outside = (rows - inside.sum(-1)).clamp_min(0)
    evidence = _evidence(squares / unit, inside, outside, len(x))
    present = rows > 0  # a class without rows in a labeling is left out of its mean
    return (evidence.where(present, 0.0).sum(1) / present.sum(1)).view(labels.shape[:-1])


def _evidence(squares: Tensor, inside: Tensor, outside: Tensor, n: int) -> Tensor:
    """Largest log evidence / n. `inside` [..., R] is the squared length of the targets along each axis, `outside` [...]
    the rest of their squared length. With t = alpha / beta the prior's scale has a closed form, so the evidence is a
    function of t alone."""
    t = _ratio(squares, inside.flatten(0, -2), outside.flatten(), n).view(outside.shape)
    shifted = squares + t[..., None]
    fit = (inside / shifted).sum(-1) + outside / t
    spread = shifted.log().sum(-1) + (n - len(squares)) * t.log()
    return -(log(2 * pi) + 1 + (fit / n).clamp_min(1e-300).log() + spread / n) / 2


def _ratio(squares: Tensor, inside: Tensor, outside: Tensor, n: int) -> Tensor:
    """Fixed point of t [K] = alpha / beta, starting from 1. inside [K, R], outside [K]. Converged entries are not
    updated further."""
    t, active = torch.ones_like(outside), torch.arange(len(outside), device=outside.device)
    for _ in range(STEPS):
        old = t[active]
        new = _step(squares, inside[active], outside[active], old, n)
        t[active] = new
        active = active[(new - old).abs() > CLOSE * old]
        if not len(active):
            break
    return t


def _step(squares: Tensor, inside: Tensor, outside: Tensor, t: Tensor, n: int) -> Tensor:
    """One step of the fixed-point iteration of t."""
    shifted = squares + t[:, None]
    freedom = (squares / shifted).sum(-1)
    weights = (squares * inside / shifted.square()).sum(-1)  # squared norm of the mean weights
    residual = (inside / shifted.square()).sum(-1) * t.square() + outside
    ratio = freedom * residual / ((n - freedom) * weights).clamp_min(1e-300)
    return ratio.clamp(MIN_RATIO, MAX_RATIO)
