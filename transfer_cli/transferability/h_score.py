"""H-score: the share of feature variance between classes. Bao et al. 2019 (ICIP), arXiv:2212.10082. With a shrunk
covariance, which is needed for few rows: Ibrahim et al. 2021, arXiv:2110.06893, with the shrinkage of Ledoit & Wolf
2004."""

from torch import Tensor

from transfer_cli.transferability.labelings import Axes, axes, checked, counts


def h_score(features: Tensor, labels: Tensor) -> Tensor:
    """tr(cov(f)^+ cov(E[f | y])), between 0 and min(C - 1, D); larger is better. Shapes: features [N, D], labels [...,
    N] -> [...] float64. It does not change under invertible linear maps of the features. With N <= D it is C - 1 for
    any labels. Raises ValueError as `checked` does."""
    x, numbered, classes = checked(features, labels)
    projection = axes(x - x.mean(0), numbered, classes)
    return _between(projection, counts(numbered, classes, x)).sum(-1).view(labels.shape[:-1])


def h_score_shrunk(features: Tensor, labels: Tensor) -> Tensor:
    """H-score with the covariance shrunk towards a multiple of the identity; the fewer the rows, the stronger the
    shrinkage. It does not change under rotation and common scaling of the features. Shapes and errors as for
    `h_score`."""
    x, numbered, classes = checked(features, labels)
    x = x - x.mean(0)
    projection = axes(x, numbered, classes)
    share = shrinkage(x, projection.squares)
    between = (1 - share) * projection.squares
    level = share * float(projection.squares.sum()) / x.shape[1]
    factor = between / (between + level) if share else between / between
    return (_between(projection, counts(numbered, classes, x)) * factor).sum(-1).view(labels.shape[:-1])


def _between(projection: Axes, rows: Tensor) -> Tensor:
    """Returns [S, R]: the share of each whitened axis that is explained by the class means."""
    return (projection.along.square() / rows.clamp_min(1)[..., None]).sum(1)


def shrinkage(x: Tensor, squares: Tensor) -> float:
    """Ledoit and Wolf's weight of the identity, 0 to 1. x [N, D] is centred; `squares` are its squared singular
    values."""
    n, d = x.shape
    total, mean = float(squares.square().sum()) / n**2, float(squares.sum()) / (n * d)
    spread = total - d * mean**2  # squared distance of the covariance to mean * identity
    noise = (float(x.square().sum(1).square().sum()) / n - total) / n
    return min(1.0, max(0.0, noise / spread)) if spread > 1e-12 * total else 0.0
