"""Maximum mean discrepancy between two samples under Gaussian kernels k = exp(-d^2 / (2 s^2)). Gretton et al. 2012,
JMLR 13, eq. 5 (the biased estimate; it is a squared norm, so >= 0)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from transfer_cli.losses.pairs import check_pair, full

FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0)  # of the mean squared distance; the five kernels of DAN's reference code
SOFTMAX_WIDTH = 0.92  # 2 s^2 = 2 * 0.92^2: the kernel that JAN puts on class probabilities


def mmd(source: Tensor, target: Tensor, *, bandwidth: float | None = None) -> Tensor:
    """MMD^2 () under one Gaussian kernel; 0 if the samples are equal. `bandwidth` is s; with None, 2 s^2 is the mean
    squared distance between all rows. Shapes: source [N, D], target [M, D]. Raises ValueError for other shapes."""
    check_pair("mmd", source, target)
    distances = _distances(source, target)
    width = distances.detach().mean() if bandwidth is None else 2.0 * bandwidth**2
    return _gap(torch.exp(-distances / width), len(source))


def mk_mmd(source: Tensor, target: Tensor, *, factors: Sequence[float] = FACTORS) -> Tensor:
    """MMD^2 () under a sum of Gaussian kernels; each has 2 s^2 = factor * mean squared distance. DAN, Long et al. 2015,
    arXiv:1502.02791, eq. 3, with equal weights. Shapes: source [N, D], target [M, D]. Raises ValueError for other
    shapes."""
    check_pair("mk_mmd", source, target)
    return _gap(_kernels(_distances(source, target), factors), len(source))


def jmmd(source: Sequence[Tensor], target: Sequence[Tensor], *, factors: Sequence[float] = FACTORS) -> Tensor:
    """Joint MMD^2 (): the kernel of two rows is the product of the kernels of all layers. The last layer holds class
    probabilities and has one kernel of fixed width. JAN, Long et al. 2017, arXiv:1605.06636, eq. 9. Shapes: for each
    layer l, source [N, D_l] and target [M, D_l]. Raises ValueError for other shapes."""
    product: Tensor | float = 1.0
    for index, (source_layer, target_layer) in enumerate(zip(source, target, strict=True)):
        check_pair("jmmd", source_layer, target_layer)
        distances = _distances(source_layer, target_layer)
        last = index == len(source) - 1
        kernel = torch.exp(-distances / (2 * SOFTMAX_WIDTH**2)) if last else _kernels(distances, factors)
        product = product * kernel
    assert isinstance(product, Tensor), "there is a layer"
    return _gap(product, len(source[0]))


def _distances(source: Tensor, target: Tensor) -> Tensor:
    """Squared distances [N + M, N + M] between all rows of both samples."""
    # Under autocast the product would be bf16, and small distances would be lost in rounding.
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
    within_source, within_target, across = kernel[:rows, :rows], kernel[rows:, rows:], kernel[:rows, rows:]
    return within_source.mean() + within_target.mean() - 2 * across.mean()
