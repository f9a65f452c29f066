"""Metrics of a language model from the negative log-likelihood of each row: pure functions, in float64.

Shapes: nll [N], nats summed over the tokens of a row; tokens [N] and chars [N], how many of each were predicted."""

import math

import torch
from torch import Tensor

from transfer_cli.errors import Diverged, Fault

Z95 = 1.959964


def language(nll: Tensor, tokens: Tensor, chars: Tensor) -> dict[str, float]:
    """Returns loss (nats per token), perplexity (its exponential) and bits_per_char, which does not depend on the
    tokenizer. Raises Diverged if the loss is not finite."""
    total = nll.double().sum()
    if not torch.isfinite(total):
        raise Diverged(Fault("evaluate", "the loss is not finite"))
    loss = float(total / tokens.sum())
    return {"bits_per_char": _bits(nll, chars), "loss": loss, "perplexity": math.exp(min(loss, 700.0))}


def bits_half_width(nll: Tensor, chars: Tensor) -> float:
    """Returns half the width of the 95 % interval of bits_per_char, a ratio of sums over rows, from the residuals nll -
    ratio * chars (Cochran 1977, Sampling Techniques, eq. 6.13). It is 0 for a single row."""
    n, chars = len(nll), chars.double()
    if n < 2:
        return 0.0
    residuals = nll.double() - nll.double().sum() / chars.sum() * chars
    error = (residuals.square().sum() * n / (n - 1)).sqrt() / chars.sum()
    return float(Z95 * error / math.log(2))


def _bits(nll: Tensor, chars: Tensor) -> float:
    return float(nll.double().sum() / chars.double().sum() / math.log(2))
