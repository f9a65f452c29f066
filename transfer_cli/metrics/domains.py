"""How well source and target can be separated by their features."""

import torch
from torch import Tensor

STEPS = 25


@torch.no_grad()
def source_probability(source: Tensor, target: Tensor, rows: Tensor, l2: float = 1e-3) -> Tensor:
    """Probability [B] that each of `rows` [B, D] belongs to the source, by logistic regression on source [N, D] against
    target [M, D] without class balancing. Newton's method in float64 on standardised features; `l2` is the penalty per
    row."""
    x = torch.cat([source, target]).double()
    mean, spread = x.mean(0), x.std(0).clamp_min(1e-6)

    def design(part: Tensor) -> Tensor:
        return torch.cat([(part.double() - mean) / spread, torch.ones(len(part), 1, dtype=torch.float64)], 1)

    x = design(torch.cat([source, target]))
    y = torch.cat([torch.ones(len(source)), torch.zeros(len(target))]).double().to(x.device)
    ridge = torch.eye(x.shape[1], dtype=torch.float64, device=x.device) * l2 * len(x)
    ridge[-1, -1] = 1e-9
    weights = x.new_zeros(x.shape[1])
    for _ in range(STEPS):
        probability = torch.sigmoid(x @ weights)
        curvature = (x * (probability * (1 - probability))[:, None]).T @ x + ridge
        move = torch.linalg.solve(curvature, x.T @ (probability - y) + ridge @ weights)
        weights = weights - move
        if float(move.abs().max()) < 1e-8:
            break
    return torch.sigmoid(design(rows) @ weights).to(rows.dtype)


def domain_accuracy(source: Tensor, target: Tensor) -> float:
    """Balanced accuracy in [0, 1] of a linear domain classifier that is fitted on the even rows of both sides and
    evaluated on the odd rows. Shapes [N, D] and [M, D], at least 4 rows each."""
    source_fit, target_fit = source[::2], target[::2]
    accuracies = [
        (source_probability(source_fit, target_fit, source[1::2]) > 0.5).double().mean(),
        (source_probability(source_fit, target_fit, target[1::2]) <= 0.5).double().mean(),
    ]
    return float(sum(accuracies)) / 2


def proxy_a_distance(source: Tensor, target: Tensor) -> float:
    """2 (1 - 2 error) of the classifier of `domain_accuracy`, in [-2, 2]; 0 means that the domains cannot be separated.
    Ben-David et al. 2006 (NIPS 19)."""
    return 2 * (2 * domain_accuracy(source, target) - 1)


def principal_axes(rows: Tensor, count: int = 2) -> tuple[Tensor, float]:
    """Returns coordinates [N, count] float64 of rows [N, D] along their first principal axes, and the share of the
    variance in them. The largest weight of each axis is positive. If D is below `count`, the missing coordinates are
    zero."""
    centred = rows.double() - rows.double().mean(0)
    _, strengths, axes = torch.linalg.svd(centred, full_matrices=False)
    axes = axes[:count]
    axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    points = torch.nn.functional.pad(centred @ axes.T, (0, count - len(axes)))
    variance = strengths.square()
    return points, float(variance[:count].sum() / variance.sum().clamp_min(1e-300))
