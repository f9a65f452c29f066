"""NT-Xent: two views of a row are nearer to each other than to any other view."""

import torch
from torch import Tensor, nn


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy () of picking, among the 2 N - 1 other views, the one of the same row, by cosine similarity
    over `temperature`; > 0. Chen et al. 2020, arXiv:2002.05709, eq. 1 and algorithm 1. Views of the same rows in order:
    first [N, D], second [N, D], N >= 2. Raises ValueError for other shapes."""
    if first.ndim != 2 or first.shape != second.shape or len(first) < 2:
        raise ValueError(f"nt_xent: {list(first.shape)} and {list(second.shape)}, wants [rows >= 2, features] twice")
    views = torch.cat([first, second])
    # a similarity of bf16 keeps 8 bits, and it is divided by a small temperature
    with torch.autocast(views.device.type, enabled=False):
        views = nn.functional.normalize(views if views.dtype == torch.float64 else views.float(), dim=1)
        scores = views @ views.T / temperature
    scores = scores.masked_fill(torch.eye(len(scores), dtype=torch.bool, device=scores.device), -torch.inf)
    partner = torch.arange(len(scores), device=scores.device).roll(len(first))
    return nn.functional.cross_entropy(scores, partner)
