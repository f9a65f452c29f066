"""Attention roll-out: how much of each patch reaches the output of a vision transformer when attention is followed
through all layers. Abnar & Zuidema 2020, arXiv:2005.00928. One map for all classes. H heads, T tokens."""

from collections.abc import Callable, Sequence
from math import isqrt
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

Scores = Callable[[Tensor], Tensor]


def rolled(attentions: Sequence[Tensor]) -> Tensor:
    """Attention [H, T, T] of each layer, first layer first -> [T, T]: rows are outputs, columns inputs, rows sum to 1.
    Heads are averaged; half of every token passes by through the residual connection (eq. 1)."""
    alone = torch.eye(attentions[0].shape[-1])
    joint = alone
    for attention in attentions:
        joint = (attention.mean(0) + alone) / 2 @ joint
    return joint


def rollout(scores: Scores, pixels: Tensor) -> Tensor:
    """Map [g, g] of the patches of pixels [1, C, H, W]: what the class token read, or where there is none, what all
    tokens read."""
    with Attention() as seen, torch.no_grad():
        scores(pixels)
    joint = rolled([found[0] for found in seen.found])
    side = grid(len(joint))
    front = len(joint) - side**2  # class token, registers
    return (joint[0] if front else joint.mean(0))[front:].reshape(side, side)


def grid(tokens: int) -> int:
    """Patches a side: as many as fit in `tokens`."""
    return isqrt(tokens)


class Attention(TorchFunctionMode):
    """Notes the weights [B, H, T, T] of every scaled dot-product attention that is computed within."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention:
            self.found.append(_weights(*args, **kwargs))
        return func(*args, **kwargs)

    def follows(self) -> bool:
        """Whether attention can be followed: every layer of one picture sees the same tokens."""
        shapes = {tuple(found.shape[:1] + found.shape[2:]) for found in self.found}
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
