"""Cross-validated accuracy of a linear probe: ridge regression on one-hot labels, which factors each fold once for all
labelings. Protocol of Kornblith et al. 2019, arXiv:1805.08974, with one penalty instead of a grid."""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from transfer_cli.predictors.ridge import fit
from transfer_cli.transferability.labelings import checked

FOLDS = 5
PENALTY = 0.1  # relative to the mean squared norm of a row, as in kernel methods


def probe(features: Tensor, labels: Tensor) -> Tensor:
    """Share of held-out rows that a probe fitted on the other folds classifies correctly. Shapes: features [N, D],
    labels [..., N] -> [...] float64; 0 for a single row. It does not change under rotation, shift and common scaling.
    Raises ValueError as `checked` does."""
    x, numbered, classes = checked(features, labels)
    correct = x.new_zeros(numbered.shape)
    fold = folds(len(x)).to(x.device)
    target = one_hot(numbered, classes).to(x)  # [S, N, C]
    for k in range(int(fold.max()) + 1 if len(x) > 1 else 0):
        held_out = fold == k
        scores = _scores(x, target, held_out)
        correct[:, held_out] = (scores.argmax(2) == numbered[:, held_out]).double()
    return correct.mean(1).view(labels.shape[:-1])


def folds(rows: int) -> Tensor:
    """Returns the fold [N] that holds out each row. Folds are drawn at random with a fixed seed, so rows sorted by
    class do no harm and the result is always the same."""
    return torch.randperm(rows, generator=torch.Generator().manual_seed(0)) % min(FOLDS, rows)


def _scores(x: Tensor, target: Tensor, held_out: Tensor) -> Tensor:
    """Returns the fitted labels [S, Q, C] of the held-out rows."""
    training = target[:, ~held_out]
    centre, level = x[~held_out].mean(0), training.mean(1, keepdim=True)
    support = x[~held_out] - centre
    unit = float(support.square().sum() / len(support)) or 1.0
    targets = (training - level).transpose(0, 1).flatten(1)
    weight = fit(support[None], targets[None], PENALTY * unit)[0]
    scores: Tensor = ((x[held_out] - centre) @ weight).view(-1, len(training), training.shape[2])
    return scores.transpose(0, 1) + level
