"""LEEP: how well the source model's own classes predict the labels. Nguyen et al. 2020, arXiv:2002.12462."""

import torch
from torch import Tensor

from transfer_cli.transferability.labelings import checked, sums


def leep(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Mean log likelihood of the labels under P(y | z) weighted by the model's probabilities of its classes z; <= 0,
    larger is better. probabilities [N, Z] (rows add up to 1), labels [..., N] -> [...] float64. The order of either
    side's classes changes nothing. Raises ValueError as `checked` does."""
    theta, numbered, classes = checked(probabilities, labels)
    joint = sums(theta, numbered, classes)
    given = joint / joint.sum(1, keepdim=True).clamp_min(1e-300)
    found = [((theta * table[each]).sum(1)).clamp_min(1e-300).log().mean() for each, table in zip(numbered, given)]
    return torch.stack(found).view(labels.shape[:-1])
