"""Joins the batches of several streams for one forward pass of a net."""

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Inputs


def joined(first: Inputs, second: Inputs) -> Inputs:
    """Concatenates the rows of both inputs. Token sequences are padded on the right to the longer length."""
    return {name: torch.cat(_equal_width(x, second[name])) for name, x in first.items()}


def _equal_width(x: Tensor, y: Tensor) -> list[Tensor]:
    """Returns both tensors; two-dimensional ones are padded with zeros to the same width."""
    if x.ndim != 2 or x.shape[1] == y.shape[1]:
        return [x, y]
    width = max(x.shape[1], y.shape[1])
    return [nn.functional.pad(part, (0, width - part.shape[1])) for part in (x, y)]
