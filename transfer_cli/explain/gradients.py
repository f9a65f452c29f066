"""Input times gradient: the contribution of each pixel or token to a score under a linear approximation of the net.
Shrikumar et al. 2016, arXiv:1605.01713. For a linear net the contributions sum to score(input) - score(0)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Inputs


def of_pixels(scores: Callable[[Tensor], Tensor], pixels: Tensor, label: int) -> Tensor:
    """Returns the map [H, W] of pixels [1, C, H, W], summed over channels. Negative values oppose the class."""
    with torch.enable_grad():
        pixels = pixels.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(scores(pixels)[0, label], pixels)
    return (pixels * gradient).detach()[0].sum(0)


def of_tokens(net: nn.Module, scores: Callable[[Inputs], Tensor], inputs: Inputs, label: int) -> Tensor:
    """Returns [T] for one text {"ids": [1, T], "mask": [1, T]}: embedding times gradient of each token, summed over the
    embedding."""
    embeddings: list[Tensor] = []

    def capture(module: nn.Module, args: Any, out: Tensor) -> Tensor | None:
        if embeddings or not torch.equal(args[0], inputs["ids"]):  # skips position embeddings
            return None
        embeddings.append(out.detach().requires_grad_())
        return embeddings[0]

    handles = [module.register_forward_hook(capture) for module in net.modules() if isinstance(module, nn.Embedding)]
    try:
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(scores(inputs)[0, label], embeddings)
    finally:
        for handle in handles:
            handle.remove()
    return (embeddings[0] * gradient).detach()[0].sum(-1)
