"""Votes of the nearest support rows."""

from typing import Annotated, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from transfer_cli.predictors.support import checked, chunks
from transfer_cli.ranges import Range


class Knn:
    """k nearest neighbours. Cover & Hart 1967, IEEE Trans. Inf. Theory 13(1); weights by 1 / distance: Dudani 1976.
    With fewer than k support rows all of them vote."""

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
        """Share of the votes: [E, Q, N], adding up to 1."""
        support, labels, query = checked(support, labels, query, ways)
        support, query = self._placed(support, query)
        draws = chunks(len(support), query.shape[1] * support.shape[1])
        return torch.cat([self._draws(support[e], labels[e], query[e], ways) for e in draws])

    def numbers(self, support: Tensor, learned: Tensor, query: Tensor) -> Tensor:
        """The mean of the nearest rows' numbers: learned [E, M, K] of support [E, M, D] -> [E, Q, K]."""
        support, query = self._placed(support.float(), query.float())
        gap, index = gaps(support, query).topk(min(self.k, support.shape[1]), 2, largest=False)
        weight = inverse(self._length(gap)) if self.weights == "distance" else torch.ones_like(gap)
        near = learned.double()[torch.arange(len(learned))[:, None, None], index]
        return ((weight / weight.sum(2, keepdim=True))[..., None] * near).sum(2).to(query.dtype)

    def _placed(self, support: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        if self.distance == "cosine":
            return normalize(support, dim=-1), normalize(query, dim=-1)
        centre = support.mean(1, keepdim=True)  # distances do not feel it, their rounding does
        return support - centre, query - centre

    def _draws(self, support: Tensor, labels: Tensor, query: Tensor, ways: int) -> Tensor:
        rows = chunks(query.shape[1], len(query) * support.shape[1])
        return torch.cat([self._votes(gaps(support, query[:, q]), labels, ways) for q in rows], 1).to(query.dtype)

    def _votes(self, gap: Tensor, labels: Tensor, ways: int) -> Tensor:
        """Squared distances [E, Q, M] and labels [E, M] -> [E, Q, N]."""
        gap, index = gap.topk(min(self.k, gap.shape[2]), 2, largest=False)
        weight = inverse(self._length(gap)) if self.weights == "distance" else torch.ones_like(gap)
        names = labels[:, None, :].expand(-1, gap.shape[1], -1).gather(2, index)
        shares = gap.new_zeros(*gap.shape[:2], ways)
        return shares.scatter_add_(2, names, weight / weight.sum(2, keepdim=True))

    def _length(self, gap: Tensor) -> Tensor:
        # Of unit vectors, half the squared distance is 1 - cosine.
        return gap / 2 if self.distance == "cosine" else gap.sqrt()


def gaps(support: Tensor, query: Tensor) -> Tensor:
    """Squared distances [E, Q, M] in float64; those within rounding of 0 are 0, so that equal rows are found."""
    support, query = support.double(), query.double()
    lengths = query.square().sum(-1, keepdim=True) + support.square().sum(-1)[:, None, :]
    gap = lengths - 2 * query @ support.mT
    return torch.where(gap > 1e-12 * lengths, gap, 0.0)


def inverse(length: Tensor) -> Tensor:
    """1 / distance; a query that equals support rows listens to these alone."""
    same = length == 0
    return torch.where(same.any(2, keepdim=True), same.to(length.dtype), 1 / length.clamp_min(1e-300))
