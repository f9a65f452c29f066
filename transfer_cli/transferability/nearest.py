"""Leave-one-out accuracy of the nearest neighbour: no fit and no settings. Cover & Hart 1967, IEEE Trans. Inf. Theory
13(1)."""

import torch
from torch import Tensor

from transfer_cli.predictors.knn import squared_distances
from transfer_cli.predictors.support import chunks
from transfer_cli.transferability.labelings import checked


def nearest(features: Tensor, labels: Tensor) -> Tensor:
    """Share of rows whose nearest other row (the first one of several) has the same label. Shapes: features [N, D],
    labels [..., N] -> [...] float64; 0 for a single row. It does not change under rotation, shift and common scaling.
    Raises ValueError as `checked` does."""
    x, numbered, _ = checked(features, labels)
    if len(x) < 2:
        return x.new_zeros(labels.shape[:-1])
    x = x - x.mean(0)
    rows = torch.arange(len(x), device=x.device)
    neighbours = torch.cat([_neighbours_of(x, part) for part in map(rows.__getitem__, chunks(len(x), len(x)))])
    return (numbered == numbered[:, neighbours]).double().mean(1).view(labels.shape[:-1])


def _neighbours_of(x: Tensor, rows: Tensor) -> Tensor:
    """Returns the index of the nearest other row for each of `rows`."""
    squared = squared_distances(x[None], x[None, rows])[0]
    squared[torch.arange(len(rows), device=x.device), rows] = torch.inf
    return squared.argmin(1)
