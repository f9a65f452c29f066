"""How well source and target can be told apart by their features."""

import torch
from torch import Tensor

STEPS = 25


@torch.no_grad()
def source_probability(source: Tensor, target: Tensor, rows: Tensor, l2: float = 1e-3) -> Tensor:
    """Probability [B] that `rows` [B, D] are of the source, by logistic regression on source [N, D] against target
    [M, D], both sides given their own share. Newton's steps in float64 on standardised features; `l2` a row."""
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
        likely = torch.sigmoid(x @ weights)
        curvature = (x * (likely * (1 - likely))[:, None]).T @ x + ridge
        move = torch.linalg.solve(curvature, x.T @ (likely - y) + ridge @ weights)
        weights = weights - move
        if float(move.abs().max()) < 1e-8:
            break
    return torch.sigmoid(design(rows) @ weights).to(rows.dtype)


def domain_accuracy(source: Tensor, target: Tensor) -> float:
    """Balanced accuracy in [0, 1] of a linear classifier of the domain, learned on the even rows of both sides, asked
    on the odd ones. Shapes [N, D], [M, D]; at least 4 rows each."""
    near, far = source[::2], target[::2]
    hits = [
        (source_probability(near, far, source[1::2]) > 0.5).double().mean(),
        (source_probability(near, far, target[1::2]) <= 0.5).double().mean(),
    ]
    return float(sum(hits)) / 2


def proxy_a_distance(source: Tensor, target: Tensor) -> float:
    """2 (1 - 2 error) of that classifier, in [-2, 2]; 0: cannot be told apart. Ben-David et al. 2006 (NIPS 19)."""
    return 2 * (2 * domain_accuracy(source, target) - 1)


def principal_axes(rows: Tensor, count: int = 2) -> tuple[Tensor, float]:
    """Coordinates [N, count] float64 of rows [N, D] along their first principal axes, and the share of the variance in
    them. Each axis's largest weight is positive; rows of fewer numbers than axes are filled with zeros."""
    centred = rows.double() - rows.double().mean(0)
    _, strengths, axes = torch.linalg.svd(centred, full_matrices=False)
    axes = axes[:count]
    axes = axes * axes.gather(1, axes.abs().argmax(1, keepdim=True)).sign()
    points = torch.nn.functional.pad(centred @ axes.T, (0, count - len(axes)))
    variance = strengths.square()
    return points, float(variance[:count].sum() / variance.sum().clamp_min(1e-300))
