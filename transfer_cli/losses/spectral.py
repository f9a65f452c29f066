"""The largest singular value of a batch of features."""

import torch
from torch import Tensor


def largest_singular(features: Tensor) -> Tensor:
    """s_1 () of features [B, D]. The singular vectors come from the smaller Gram matrix, without gradient; u^T F v has
    the right gradient, u v^T, and costs two products instead of a whole decomposition."""
    with torch.no_grad(), torch.autocast(features.device.type, enabled=False):
        rows = features.double()
        wide = len(rows) <= rows.shape[1]
        side = torch.linalg.eigh(rows @ rows.T if wide else rows.T @ rows).eigenvectors[:, -1]
        other = torch.nn.functional.normalize(side @ rows if wide else rows @ side, dim=0)
        left, right = (side, other) if wide else (other, side)
        left, right = left.to(features.dtype), right.to(features.dtype)
    return left @ features @ right
