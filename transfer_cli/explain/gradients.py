"""Input times gradient: how much each pixel or token adds to a score, were the net linear. Shrikumar et al. 2016,
arXiv:1605.01713. Over a linear net they add up to score(input) - score(0)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Inputs


def of_pixels(scores: Callable[[Tensor], Tensor], pixels: Tensor, label: int) -> Tensor:
    """Map [H, W] of pixels [1, C, H, W], channels added up; negative: speaks against the class."""
    with torch.enable_grad():
        pixels = pixels.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(scores(pixels)[0, label], pixels)
    return (pixels * gradient).detach()[0].sum(0)


def of_tokens(net: nn.Module, scores: Callable[[Inputs], Tensor], inputs: Inputs, label: int) -> Tensor:
    """[T] for one text {"ids": [1, T], "mask": [1, T]}: of each token's embedding, its numbers added up."""
    found: list[Tensor] = []

    def keep(module: nn.Module, args: Any, out: Tensor) -> Tensor | None:
        if found or not torch.equal(args[0], inputs["ids"]):  # positions have embeddings, too
            return None
        found.append(out.detach().requires_grad_())
        return found[0]

    handles = [module.register_forward_hook(keep) for module in net.modules() if isinstance(module, nn.Embedding)]
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(scores(inputs)[0, label], found)
    finally:
        for handle in handles:
            handle.remove()
    return (found[0] * gradient).detach()[0].sum(-1)
