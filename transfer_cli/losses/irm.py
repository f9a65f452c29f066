"""The penalty of IRMv1: how much one domain's loss could still fall by rescaling the scores."""

import torch
from torch import Tensor


def irm_penalty(scores: Tensor, labels: Tensor) -> Tensor:
    """Squared derivative () of the cross-entropy of w * scores with respect to w at w = 1. Arjovsky et al. 2019,
    arXiv:1907.02893, IRMv1. Shapes: scores [B, C], labels [B] integers. The closed form avoids second derivatives: d/dw
    = mean over rows of sum_c (softmax_c - [c is the label]) * score_c."""
    with torch.autocast(scores.device.type, enabled=False):
        scores = scores if scores.dtype == torch.float64 else scores.float()
        right = scores.gather(1, labels[:, None]).squeeze(1)
        return ((scores.softmax(1) * scores).sum(1) - right).mean().square()
