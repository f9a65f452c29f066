"""NT-Xent, the contrastive loss of SimCLR."""

import torch
from torch import Tensor, nn


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Mean cross-entropy () of selecting the view of the same row among the 2 N - 1 other views, by cosine similarity
    divided by `temperature`; > 0. Chen et al. 2020, arXiv:2002.05709, eq. 1 and algorithm 1. `first` [N, D] and
    `second` [N, D] are views of the same rows in the same order, N >= 2. Raises ValueError for other shapes."""
    if first.ndim != 2 or first.shape != second.shape or len(first) < 2:
        raise ValueError(f"nt_xent: {list(first.shape)} and {list(second.shape)}, expected [rows >= 2, features] twice")
    views = torch.cat([first, second])
    # A bf16 similarity has 8 bits of precision, and dividing by a small temperature magnifies its error.
    with torch.autocast(views.device.type, enabled=False):
        views = nn.functional.normalize(views if views.dtype == torch.float64 else views.float(), dim=1)
        scores = views @ views.T / temperature
    scores = scores.masked_fill(torch.eye(len(scores), dtype=torch.bool, device=scores.device), -torch.inf)
    partner = torch.arange(len(scores), device=scores.device).roll(len(first))
    return nn.functional.cross_entropy(scores, partner)
