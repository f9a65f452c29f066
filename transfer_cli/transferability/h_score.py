"""H-score: how much of the features' variance lies between classes. Bao et al. 2019 (ICIP), arXiv:2212.10082; with a
shrunk covariance, which few rows need: Ibrahim et al. 2021, arXiv:2110.06893, shrunk as Ledoit & Wolf 2004 do."""

from torch import Tensor

from transfer_cli.transferability.labelings import Axes, axes, checked, counts


def h_score(features: Tensor, labels: Tensor) -> Tensor:
    """tr(cov(f)^+ cov(E[f | y])), between 0 and min(C - 1, D); larger is better. features [N, D], labels [..., N] ->
    [...] float64. Any invertible linear map of the features changes nothing. With N <= D it is C - 1 whatever the
    labels are. Raises ValueError as `checked` does."""
    x, numbered, classes = checked(features, labels)
    seen = axes(x - x.mean(0), numbered, classes)
    return _between(seen, counts(numbered, classes, x)).sum(-1).view(labels.shape[:-1])


def h_score_shrunk(features: Tensor, labels: Tensor) -> Tensor:
    """The same with the covariance drawn towards a multiple of the identity, by as much as the rows are too few. A turn
    of the features and a common scale change nothing; shapes as above."""
    x, numbered, classes = checked(features, labels)
    x = x - x.mean(0)
    seen = axes(x, numbered, classes)
    share = shrinkage(x, seen.squares)
    between = (1 - share) * seen.squares
    level = share * float(seen.squares.sum()) / x.shape[1]
    kept = between / (between + level) if share else between / between
    return (_between(seen, counts(numbered, classes, x)) * kept).sum(-1).view(labels.shape[:-1])


def _between(seen: Axes, rows: Tensor) -> Tensor:
    """[S, R]: the share of each whitened axis that class means explain."""
    return (seen.along.square() / rows.clamp_min(1)[..., None]).sum(1)


def shrinkage(x: Tensor, squares: Tensor) -> float:
    """Ledoit and Wolf's share of the identity, 0 to 1; x [N, D] centred, `squares` its squared singular values."""
    n, d = x.shape
    total, mean = float(squares.square().sum()) / n**2, float(squares.sum()) / (n * d)
    apart = total - d * mean**2  # squared distance of the covariance to mean * identity
    noise = (float(x.square().sum(1).square().sum()) / n - total) / n
    return min(1.0, max(0.0, noise / apart)) if apart > 1e-12 * total else 0.0
