"""Batches of several streams passed through a net together."""

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Inputs


def joined(first: Inputs, second: Inputs) -> Inputs:
    """Rows of both, to pass through a net together. Texts are padded on the right to the longer of the two."""
    return {name: torch.cat(_even(x, second[name])) for name, x in first.items()}


def _even(x: Tensor, y: Tensor) -> list[Tensor]:
    if x.ndim != 2 or x.shape[1] == y.shape[1]:
        return [x, y]
    width = max(x.shape[1], y.shape[1])
    return [nn.functional.pad(part, (0, width - part.shape[1])) for part in (x, y)]
