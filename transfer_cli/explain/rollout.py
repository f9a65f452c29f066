"""Attention roll-out: how much each patch contributes to the output of a vision transformer when attention is followed
through all layers. Abnar & Zuidema 2020, arXiv:2005.00928. There is one map for all classes. Shapes: H heads, T
tokens."""

from collections.abc import Callable, Sequence
from math import isqrt
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

Scores = Callable[[Tensor], Tensor]


def rolled(attentions: Sequence[Tensor]) -> Tensor:
    """Combines the attention [H, T, T] of all layers, in order, to [T, T]: rows are outputs, columns are inputs, rows
    sum to 1. Heads are averaged, and half of each token comes through the residual connection (eq. 1)."""
    identity = torch.eye(attentions[0].shape[-1])
    joint = identity
    for attention in attentions:
        joint = (attention.mean(0) + identity) / 2 @ joint
    return joint


def rollout(scores: Scores, pixels: Tensor) -> Tensor:
    """Returns the map [g, g] of the patches of pixels [1, C, H, W]: the inputs of the class token, or the mean over all
    tokens if there is no class token."""
    with Attention() as attention, torch.no_grad():
        scores(pixels)
    joint = rolled([weights[0] for weights in attention.weights])
    side = grid(len(joint))
    extra_tokens = len(joint) - side**2  # class token, registers
    return (joint[0] if extra_tokens else joint.mean(0))[extra_tokens:].reshape(side, side)


def grid(tokens: int) -> int:
    """Returns the number of patches per side: the largest square that fits in `tokens`."""
    return isqrt(tokens)


class Attention(TorchFunctionMode):
    """Collects the weights [B, H, T, T] of every scaled dot-product attention that is computed while it is active."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention:
            self.weights.append(_weights(*args, **kwargs))
        return func(*args, **kwargs)

    def can_be_followed(self) -> bool:
        """Returns whether attention can be followed: there is one image, and all layers have the same tokens."""
        shapes = {tuple(weights.shape[:1] + weights.shape[2:]) for weights in self.weights}
        return len(shapes) == 1 and all(batch == 1 and rows == columns > 3 for batch, rows, columns in shapes)


def _weights(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *_: Any, **more: Any
) -> Tensor:
    scale = more.get("scale") or query.shape[-1] ** -0.5
    scores = query.float() @ key.float().mT * scale
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(-1).detach()
