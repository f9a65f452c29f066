"""LEEP: how well the source model's classes predict the labels. Nguyen et al. 2020, arXiv:2002.12462."""

import torch
from torch import Tensor

from transfer_cli.transferability.labelings import checked, sums


def leep(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Mean log-likelihood of the labels under P(y | z) weighted by the model's probabilities of its classes z; <= 0,
    larger is better. Shapes: probabilities [N, Z] (rows sum to 1), labels [..., N] -> [...] float64. The order of the
    classes of either side does not matter. Raises ValueError as `checked` does."""
    theta, numbered, classes = checked(probabilities, labels)
    joint = sums(theta, numbered, classes)
    conditional = joint / joint.sum(1, keepdim=True).clamp_min(1e-300)
    scores = [
        ((theta * table[each]).sum(1)).clamp_min(1e-300).log().mean() for each, table in zip(numbered, conditional)
    ]
    return torch.stack(scores).view(labels.shape[:-1])
