"""Cross-validated accuracy of a linear probe, here ridge regression on one-hot labels: its folds are factored once for
all labelings. Protocol of Kornblith et al. 2019, arXiv:1805.08974, with one penalty instead of a grid."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from transfer_cli.predictors.ridge import fit
from transfer_cli.transferability.labelings import checked

FOLDS = 5
PENALTY = 0.1  # in units of the mean squared length of a row, as a kernel method would have it


def probe(features: Tensor, labels: Tensor) -> Tensor:
    """Share of held-out rows that a probe on the other folds gets right. features [N, D], labels [..., N] -> [...]
    float64; 0 of a single row. Turns, shifts and a common scale change nothing. Raises ValueError as `checked` does."""
    x, numbered, classes = checked(features, labels)
    hits = x.new_zeros(numbered.shape)
    fold = folds(len(x)).to(x.device)
    target = one_hot(numbered, classes).to(x)  # [S, N, C]
    for k in range(int(fold.max()) + 1 if len(x) > 1 else 0):
        out = fold == k
        scores = _scores(x, target, out)
        hits[:, out] = (scores.argmax(2) == numbered[:, out]).double()
    return hits.mean(1).view(labels.shape[:-1])


def folds(rows: int) -> Tensor:
    """Which fold holds each row out [N]: dealt at random, so that an order by class means nothing; always the same."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(0)) % min(FOLDS, rows)


def _scores(x: Tensor, target: Tensor, out: Tensor) -> Tensor:
    """[S, Q, C]: fitted labels of the rows held out."""
    learn = target[:, ~out]
    centre, level = x[~out].mean(0), learn.mean(1, keepdim=True)
    support = x[~out] - centre
    unit = float(support.square().sum() / len(support)) or 1.0
    wanted = (learn - level).transpose(0, 1).flatten(1)
    weight = fit(support[None], wanted[None], PENALTY * unit)[0]
    scores: Tensor = ((x[out] - centre) @ weight).view(-1, len(learn), learn.shape[2])
    return scores.transpose(0, 1) + level
