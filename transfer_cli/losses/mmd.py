"""Maximum mean discrepancy: how far apart two samples are under Gaussian kernels k = exp(-d^2 / (2 s^2)).
Gretton et al. 2012, JMLR 13, eq. 5 (the biased estimate, which is a squared norm: >= 0)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from transfer_cli.losses.pairs import check_pair, full

FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0)  # of the mean squared distance; the five kernels of DAN's reference code
SOFTMAX_WIDTH = 0.92  # 2 s^2 = 2 * 0.92^2: the kernel that JAN puts on class probabilities


def mmd(source: Tensor, target: Tensor, *, bandwidth: float | None = None) -> Tensor:
    """MMD^2 under one Gaussian kernel; 0 if the samples agree. `bandwidth` s; None: 2 s^2 is the mean squared distance
    between rows of both. Shapes: source [N, D], target [M, D]; returns (). Raises ValueError for others."""
    check_pair("mmd", source, target)
    distances = _distances(source, target)
    width = distances.detach().mean() if bandwidth is None else 2.0 * bandwidth**2
    return _gap(torch.exp(-distances / width), len(source))


def mk_mmd(source: Tensor, target: Tensor, *, factors: Sequence[float] = FACTORS) -> Tensor:
    """MMD^2 under a sum of Gaussian kernels, 2 s^2 = factor * mean squared distance each. DAN, Long et al. 2015,
    arXiv:1502.02791, eq. 3, with equal weights. Shapes: source [N, D], target [M, D]; returns ()."""
    check_pair("mk_mmd", source, target)
    return _gap(_kernels(_distances(source, target), factors), len(source))


def jmmd(source: Sequence[Tensor], target: Sequence[Tensor], *, factors: Sequence[float] = FACTORS) -> Tensor:
    """Joint MMD^2: the kernel of a row pair is the product over layers; the last layer are class probabilities, with
    one kernel of fixed width. JAN, Long et al. 2017, arXiv:1605.06636, eq. 9.
    Shapes: of each layer source [N, D_l], target [M, D_l]; returns (). Raises ValueError for others."""
    product: Tensor | float = 1.0
    for place, (near, far) in enumerate(zip(source, target, strict=True)):
        check_pair("jmmd", near, far)
        distances = _distances(near, far)
        last = place == len(source) - 1
        kernel = torch.exp(-distances / (2 * SOFTMAX_WIDTH**2)) if last else _kernels(distances, factors)
        product = product * kernel
    assert isinstance(product, Tensor), "there is a layer"
    return _gap(product, len(source[0]))


def _distances(source: Tensor, target: Tensor) -> Tensor:
    """Squared distances [N + M, N + M] of all rows of both."""
    # under autocast the product would be bf16, and distances of neighbours all rounding
    with torch.autocast(source.device.type, enabled=False):
        rows = torch.cat([full(source), full(target)])
        rows = rows - rows.detach().mean(0)
        squares = rows.square().sum(1)
        return (squares[:, None] + squares - 2 * rows @ rows.T).clamp_min(0)


def _kernels(distances: Tensor, factors: Sequence[float]) -> Tensor:
    unit = distances.detach().mean().clamp_min(1e-12)
    kernels = [torch.exp(-distances / (factor * unit)) for factor in factors]
    return torch.stack(kernels).sum(0)


def _gap(kernel: Tensor, rows: int) -> Tensor:
    near, far, across = kernel[:rows, :rows], kernel[rows:, rows:], kernel[:rows, rows:]
    return near.mean() + far.mean() - 2 * across.mean()
