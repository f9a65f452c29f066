"""Forward passes of a method over all rows of a stream, without training."""

from typing import Any

import torch
from torch import Tensor

from transfer_cli.contracts import Loader


@torch.no_grad()
def features_of(net: Any, loader: Loader) -> Tensor:
    """Returns features [N, D] fp32 of all rows in order. The net is in eval mode during the pass."""
    modes = [module.training for module in net.modules()]
    net.eval()
    batches = [(batch.index, net.features(batch.inputs).float()) for batch in loader.whole()]
    for module, mode in zip(net.modules(), modes, strict=True):
        module.training = mode
    rows = torch.cat([features for _, features in batches])
    return torch.empty_like(rows).index_copy_(0, torch.cat([index for index, _ in batches]), rows)
