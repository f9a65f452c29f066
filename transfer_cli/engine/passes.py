"""Whole-data passes without gradient: features and scores of every row of a feed, in order."""

from typing import Any

import torch
from torch import Tensor

from transfer_cli.contracts import Feed
from transfer_cli.engine.device import autocast


@torch.no_grad()
def features(net: Any, feed: Feed, precision: str) -> Tensor:
    """[N, D] fp32, net in eval mode."""
    return torch.cat(list(_each(net, feed, precision, None)))


@torch.no_grad()
def scores(net: Any, head: str, feed: Feed, precision: str) -> Tensor:
    """[N, C] fp32, net in eval mode."""
    return torch.cat(list(_each(net, feed, precision, head)))


def _each(net: Any, feed: Feed, precision: str, head: str | None) -> Any:
    modes = [module.training for module in net.modules()]
    net.eval()
    for batch in feed.whole():
        with autocast(batch.index.device, precision):
            out = net.features(batch.inputs) if head is None else net(batch.inputs, head)
        yield out.float()
    for module, mode in zip(net.modules(), modes, strict=True):
        module.training = mode
