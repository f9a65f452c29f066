"""NCE: minus the entropy of the labels given the source model's predicted class. Tran et al. 2019, arXiv:1908.08142."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from transfer_cli.transferability.labelings import checked, sums


def nce(source: Tensor, labels: Tensor) -> Tensor:
    """-H(y | z) in nats; <= 0, larger is better, and 0 if the source class determines the label. Shapes: source [N]
    integers, labels [..., N] -> [...] float64. The order of the classes of either side does not matter. Raises
    ValueError as `checked` does."""
    _, numbered = torch.unique(source, return_inverse=True)
    z, labels_of, classes = checked(one_hot(numbered).double(), labels)
    joint = sums(z, labels_of, classes) / len(z)
    conditional = joint / joint.sum(1, keepdim=True)
    score: Tensor = torch.special.xlogy(joint, conditional).sum((1, 2))
    return score.view(labels.shape[:-1])
