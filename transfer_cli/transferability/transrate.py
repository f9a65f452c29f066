"""TransRate: mutual information of features and labels, with entropies replaced by coding rates. Huang et al. 2022,
arXiv:2106.09362."""

import torch
from torch import Tensor

from transfer_cli.transferability.labelings import axes, checked

EPS = 1e-4


def transrate(features: Tensor, labels: Tensor, eps: float = EPS) -> Tensor:
    """Coding rate of all rows minus that within classes, each class weighted by its share of the rows (the authors'
    code weights classes equally, which is the same for classes of equal size); >= 0, larger is better. Shapes: features
    [N, D], labels [..., N] -> [...] float64. It does not change under rotation of the features, but under scaling.
    Raises ValueError as `checked` does."""
    x, numbered, classes = checked(features, labels)
    x = x - x.mean(0)
    whole = torch.log1p(axes(x, numbered[:1], classes).squares / (len(x) * eps)).sum() / 2
    within = [sum((_rate(x[each == c], eps) for c in range(classes)), x.new_zeros(())) for each in numbered]
    score: Tensor = whole - torch.stack(within) / len(x)
    return score.view(labels.shape[:-1])


def _rate(x: Tensor, eps: float) -> Tensor:
    """Rows times their coding rate: n / 2 * log det(I + x'x / (n eps)), computed with the smaller of x'x and xx'."""
    n, d = x.shape
    if not n:
        return x.new_zeros(())
    gram = x @ x.T if n < d else x.T @ x
    gram = gram / (n * eps)
    gram.diagonal().add_(1)
    rate: Tensor = torch.linalg.cholesky(gram).diagonal().log().sum()
    return n * rate
