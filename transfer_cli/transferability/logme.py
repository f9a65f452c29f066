"""LogME: the evidence of a Bayesian linear model from features to each class, its noise and prior chosen by that
evidence. You et al. 2021, arXiv:2102.11005; found by the fixed point of You et al. 2022, arXiv:2110.10545."""

from math import log, pi

import torch
from torch import Tensor

from transfer_cli.transferability.labelings import axes, checked, counts

STEPS = 300
CLOSE = 1e-6  # relative change of t = alpha / beta at the end; evidence is flat there, so it has twice the digits
LEAST, MOST = 1e-8, 1e8  # t in units of the mean squared length of a row: where labels hold no noise, or nothing else


def logme(features: Tensor, labels: Tensor) -> Tensor:
    """Mean over classes of the log evidence a row; larger is better. features [N, D], labels [..., N] -> [...] float64.
    A turn of the features changes nothing, nor does scaling them all. Raises ValueError as `checked` does."""
    x, numbered, classes = checked(features, labels)
    squares, along = axes(x, numbered, classes)
    rows = counts(numbered, classes, x)
    unit = float(x.square().sum() / len(x)) or 1.0
    inside = along.square()
    outside = (rows - inside.sum(-1)).clamp_min(0)
    found = _evidence(squares / unit, inside, outside, len(x))
    present = rows > 0  # a class without a row in a labeling has nothing to explain
    return (found.where(present, 0.0).sum(1) / present.sum(1)).view(labels.shape[:-1])


def _evidence(squares: Tensor, inside: Tensor, outside: Tensor, n: int) -> Tensor:
    """Largest log evidence / n of targets whose squared length along each axis is `inside` [..., R], the rest `outside`
    [...]. With t = alpha / beta the prior's scale has a closed form, so evidence is a function of t alone."""
    t = _ratio(squares, inside.flatten(0, -2), outside.flatten(), n).view(outside.shape)
    kept = squares + t[..., None]
    fit = (inside / kept).sum(-1) + outside / t
    spread = kept.log().sum(-1) + (n - len(squares)) * t.log()
    return -(log(2 * pi) + 1 + (fit / n).clamp_min(1e-300).log() + spread / n) / 2


def _ratio(squares: Tensor, inside: Tensor, outside: Tensor, n: int) -> Tensor:
    """The fixed point of t [K] = alpha / beta, from 1; inside [K, R], outside [K]. Those that have arrived rest."""
    t, moving = torch.ones_like(outside), torch.arange(len(outside), device=outside.device)
    for _ in range(STEPS):
        before = t[moving]
        new = _step(squares, inside[moving], outside[moving], before, n)
        t[moving] = new
        moving = moving[(new - before).abs() > CLOSE * before]
        if not len(moving):
            break
    return t


def _step(squares: Tensor, inside: Tensor, outside: Tensor, t: Tensor, n: int) -> Tensor:
    kept = squares + t[:, None]
    freedom = (squares / kept).sum(-1)
    weights = (squares * inside / kept.square()).sum(-1)  # squared length of the mean weights
    residual = (inside / kept.square()).sum(-1) * t.square() + outside
    ratio = freedom * residual / ((n - freedom) * weights).clamp_min(1e-300)
    return ratio.clamp(LEAST, MOST)
