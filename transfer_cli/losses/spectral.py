"""The largest singular value of a batch of features."""

import torch
from torch import Tensor


def largest_singular(features: Tensor) -> Tensor:
    """Largest singular value () of features [B, D]. The singular vectors u and v are computed from the smaller Gram
    matrix without gradient; u^T F v then has the correct gradient u v^T, at the cost of two products instead of a full
    decomposition."""
    with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
        rows = features.double()
        wide = len(rows) <= rows.shape[1]
        side = torch.linalg.eigh(rows @ rows.T if wide else rows.T @ rows).eigenvectors[:, -1]
        other = torch.nn.functional.normalize(side @ rows if wide else rows @ side, dim=0)
        left, right = (side, other) if wide else (other, side)
        left, right = left.to(features.dtype), right.to(features.dtype)
    return left @ features @ right
