"""k nearest neighbours: the nearest support rows vote."""

from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from transfer_cli.predictors.support import checked, chunks
from transfer_cli.ranges import Range


class Knn:
    """k nearest neighbours. Cover & Hart 1967, IEEE Trans. Inf. Theory 13(1); weights 1 / distance: Dudani 1976. With
    fewer than k support rows all of them vote."""

    shares = True
    needs = ("row",)

    def __init__(
        self,
        *,
        k: Annotated[int, Range(1)] = 5,
        distance: Literal["euclidean", "cosine"] = "euclidean",
        weights: Literal["distance", "uniform"] = "distance",
    ) -> None:
        self.k, self.distance, self.weights = k, distance, weights

    def scores(self, support: Tensor, labels: Tensor, query: Tensor, ways: int) -> Tensor:
        """Returns the share of the votes of each class: [E, Q, N], summing to 1 over the classes."""
        support, labels, query = checked(support, labels, query, ways)
        support, query = self._normalised(support, query)
        draws = chunks(len(support), query.shape[1] * support.shape[1])
        return torch.cat([self._votes_in_chunks(support[e], labels[e], query[e], ways) for e in draws])

    def numbers(self, support: Tensor, targets: Tensor, query: Tensor) -> Tensor:
        """Returns the weighted mean of the nearest rows' numbers: targets [E, M, K] of support [E, M, D] -> [E, Q,
        K]."""
        support, query = self._normalised(support.float(), query.float())
        squared, index = squared_distances(support, query).topk(min(self.k, support.shape[1]), 2, largest=False)
        weight = inverse(self._distance(squared)) if self.weights == "distance" else torch.ones_like(squared)
        nearest = targets.double()[torch.arange(len(targets))[:, None, None], index]
        return ((weight / weight.sum(2, keepdim=True))[..., None] * nearest).sum(2).to(query.dtype)

    def _normalised(self, support: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        """Returns unit vectors for the cosine distance, or vectors relative to the support mean."""
        if self.distance == "cosine":
            return normalize(support, dim=-1), normalize(query, dim=-1)
        centre = support.mean(1, keepdim=True)  # shifting changes no distance and reduces rounding errors
        return support - centre, query - centre

    def _votes_in_chunks(self, support: Tensor, labels: Tensor, query: Tensor, ways: int) -> Tensor:
        rows = chunks(query.shape[1], len(query) * support.shape[1])
        return torch.cat([self._votes(squared_distances(support, query[:, q]), labels, ways) for q in rows], 1).to(
            query.dtype
        )

    def _votes(self, squared: Tensor, labels: Tensor, ways: int) -> Tensor:
        """Computes the shares [E, Q, N] from squared distances [E, Q, M] and labels [E, M]."""
        squared, index = squared.topk(min(self.k, squared.shape[2]), 2, largest=False)
        weight = inverse(self._distance(squared)) if self.weights == "distance" else torch.ones_like(squared)
        nearest_labels = labels[:, None, :].expand(-1, squared.shape[1], -1).gather(2, index)
        shares = squared.new_zeros(*squared.shape[:2], ways)
        return shares.scatter_add_(2, nearest_labels, weight / weight.sum(2, keepdim=True))

    def _distance(self, squared: Tensor) -> Tensor:
        # For unit vectors, half the squared distance equals 1 - cosine.
        return squared / 2 if self.distance == "cosine" else squared.sqrt()


def squared_distances(support: Tensor, query: Tensor) -> Tensor:
    """Squared distances [E, Q, M] in float64 between query [E, Q, D] and support [E, M, D]. Values within rounding of 0
    are set to 0, so that equal rows are recognised."""
    support, query = support.double(), query.double()
    squared_norms = query.square().sum(-1, keepdim=True) + support.square().sum(-1)[:, None, :]
    squared = squared_norms - 2 * query @ support.mT
    return torch.where(squared > 1e-12 * squared_norms, squared, 0.0)


def inverse(distance: Tensor) -> Tensor:
    """Returns 1 / distance. A query that equals support rows gets votes from these rows only."""
    equal = distance == 0
    return torch.where(equal.any(2, keepdim=True), equal.to(distance.dtype), 1 / distance.clamp_min(1e-300))
