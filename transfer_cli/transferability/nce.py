"""NCE: minus the entropy of the labels given the class that the source model sees.
Tran et al. 2019, arXiv:1908.08142."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from transfer_cli.transferability.labelings import checked, sums


def nce(source: Tensor, labels: Tensor) -> Tensor:
    """-H(y | z) in nats; <= 0, larger is better, 0 where the source's class tells the label. source [N] integers,
    labels [..., N] -> [...] float64. The order of either side's classes changes nothing. Raises ValueError as
    `checked` does."""
    _, numbered = torch.unique(source, return_inverse=True)
    z, labels_of, classes = checked(one_hot(numbered).double(), labels)
    joint = sums(z, labels_of, classes) / len(z)
    given = joint / joint.sum(1, keepdim=True)
    found: Tensor = torch.special.xlogy(joint, given).sum((1, 2))
    return found.view(labels.shape[:-1])
