"""Leave-one-out accuracy of the nearest neighbour: no fit, no setting.
Cover & Hart 1967, IEEE Trans. Inf. Theory 13(1)."""

import torch
from torch import Tensor

from transfer_cli.predictors.knn import gaps
from transfer_cli.predictors.support import chunks
from transfer_cli.transferability.labelings import checked


def nearest(features: Tensor, labels: Tensor) -> Tensor:
    """Share of rows whose nearest other row (of equally near ones the first) has their label. features [N, D], labels
    [..., N] -> [...] float64; 0 of a single row. Turns, shifts and a common scale change nothing. Raises ValueError as
    `checked` does."""
    x, numbered, _ = checked(features, labels)
    if len(x) < 2:
        return x.new_zeros(labels.shape[:-1])
    x = x - x.mean(0)
    rows = torch.arange(len(x), device=x.device)
    near = torch.cat([_near(x, part) for part in map(rows.__getitem__, chunks(len(x), len(x)))])
    return (numbered == numbered[:, near]).double().mean(1).view(labels.shape[:-1])


def _near(x: Tensor, rows: Tensor) -> Tensor:
    gap = gaps(x[None], x[None, rows])[0]
    gap[torch.arange(len(rows), device=x.device), rows] = torch.inf
    return gap.argmin(1)
