"""Whole-data passes without gradient: features, or what a task makes of every row of a feed, in order."""

from typing import Any

import torch
from torch import Tensor

from transfer_cli.contracts import Feed, Task
from transfer_cli.engine.device import autocast


def features(net: Any, feed: Feed, precision: str) -> Tensor:
    """[N, D] fp32, net in eval mode."""
    return torch.cat(list(_each(net, feed, precision, None)))


def rows(net: Any, task: Task, feed: Feed, precision: str) -> dict[str, Tensor]:
    """What the task's metrics need of every row, net in eval mode."""
    found = list(_each(net, feed, precision, task))
    return {name: torch.cat([part[name] for part in found]) for name in found[0]}


@torch.no_grad()
def _each(net: Any, feed: Feed, precision: str, task: Task | None) -> Any:
    modes = [module.training for module in net.modules()]
    net.eval()
    for batch in feed.whole():
        with autocast(batch.index.device, precision):
            out = net.features(batch.inputs) if task is None else net(batch.inputs, task.head)
        yield out.float() if task is None else task.rows(out, batch)
    for module, mode in zip(net.modules(), modes, strict=True):
        module.training = mode
