"""Certainty of predictions without labels, per row and over a batch."""

import torch
from torch import Tensor


def entropies(scores: Tensor) -> Tensor:
    """Entropy [B] in nats of softmax(scores [B, C])."""
    logs = scores.float().log_softmax(1)
    return -(logs.exp() * logs).sum(1)


def information(scores: Tensor) -> Tensor:
    """Mutual information () of row and class in nats, from scores [B, C]: entropy of the mean prediction minus the mean
    entropy, >= 0. It is larger for predictions that are certain for each row and diverse over the batch. Shi & Sha
    2012, arXiv:1206.6438; SHOT, arXiv:2002.08546, eq. 3."""
    mean = scores.float().softmax(1).mean(0)
    return -(mean * mean.clamp_min(1e-12).log()).sum() - entropies(scores).mean()


def class_confusion(scores: Tensor, temperature: float) -> Tensor:
    """Minimum class confusion () of scores [B, C]: the mean share of class correlation off the diagonal, in [0, 1]. Jin
    et al. 2020, arXiv:1912.03699, eqs. 2 to 6."""
    probabilities = (scores.float() / temperature).softmax(1)
    # In the paper no gradient flows through the certainty weights.
    weight = 1 + torch.exp(-entropies(scores / temperature).detach())
    weight = weight * len(weight) / weight.sum()
    correlation = (probabilities * weight[:, None]).T @ probabilities
    share = correlation / correlation.sum(1, keepdim=True).clamp_min(1e-12)
    return (share.sum() - share.diagonal().sum()) / len(share)
