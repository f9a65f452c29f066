"""Nearest class mean."""

from typing import Literal

from torch import Tensor
from torch.nn.functional import normalize

from transfer_cli.errors import DataError, Fault
from transfer_cli.predictors.support import checked, one_hot


class Prototypes:
    """Nearest class mean. Snell, Swersky & Zemel 2017, arXiv:1703.05175, eqs. 1 and 2. The mean of the support features
    of each class is computed, and a query is scored by its distance to each mean. Nothing is trained."""

    def __init__(self, *, distance: Literal["euclidean", "cosine"] = "euclidean") -> None:
        self.distance = distance

    def scores(self, support: Tensor, labels: Tensor, query: Tensor, ways: int) -> Tensor:
        """Returns minus the squared distance, or the cosine: [E, Q, N]. Raises DataError if a class has no support
        row."""
        support, labels, query = checked(support, labels, query, ways)
        if self.distance == "cosine":
            return normalize(query, dim=-1) @ normalize(class_means(support, labels, ways), dim=-1).mT
        # Shifting changes no distance; without it |x|^2 - 2 x.y + |y|^2 loses digits for features far from 0.
        centre = support.mean(1, keepdim=True)
        means, query = class_means(support - centre, labels, ways), query - centre
        lengths = query.square().sum(-1, keepdim=True) + means.square().sum(-1)[:, None, :]
        return 2 * query @ means.mT - lengths


def class_means(support: Tensor, labels: Tensor, ways: int) -> Tensor:
    """Returns the mean feature of each class: [E, N, D]. Raises DataError naming the first class without a row."""
    member = one_hot(labels, ways, support)
    counts = member.sum(1)
    if not counts.all():
        draw, label = (counts == 0).nonzero()[0].tolist()
        raise DataError(Fault("predictor", f"class {label} has no row to learn from in draw {draw}", "prototypes"))
    return member.mT @ support / counts[:, :, None]
