"""Passes of a method over all rows of a stream, without learning."""

from typing import Any

import torch
from torch import Tensor

from transfer_cli.contracts import Loader


@torch.no_grad()
def features_of(net: Any, loader: Loader) -> Tensor:
    """Features [N, D] fp32 of every row in order, the net in eval mode for the while."""
    modes = [module.training for module in net.modules()]
    net.eval()
    found = [(batch.index, net.features(batch.inputs).float()) for batch in loader.whole()]
    for module, mode in zip(net.modules(), modes, strict=True):
        module.training = mode
    rows = torch.cat([features for _, features in found])
    return torch.empty_like(rows).index_copy_(0, torch.cat([index for index, _ in found]), rows)
