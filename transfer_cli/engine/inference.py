"""Whole-data passes without gradient: features, or what a task makes of every row of a loader, in order."""

from typing import Any

import torch
from torch import Tensor

from transfer_cli.contracts import Loader, Task
from transfer_cli.engine.device import autocast


def features(net: Any, loader: Loader, precision: str) -> Tensor:
    """[N, D] fp32, net in eval mode."""
    found = list(_each(net, loader, precision, None))
    return _placed([index for index, _ in found], [part for _, part in found])


def rows(net: Any, task: Task, loader: Loader, precision: str) -> dict[str, Tensor]:
    """What the task's metrics need of every row, net in eval mode."""
    found = list(_each(net, loader, precision, task))
    order = [index for index, _ in found]
    return {name: _placed(order, [part[name] for _, part in found]) for name in found[0][1]}


def _placed(order: list[Tensor], parts: list[Tensor]) -> Tensor:
    """Rows of `parts` at the places that `order` names."""
    rows = torch.cat(parts)
    return torch.empty_like(rows).index_copy_(0, torch.cat(order), rows)


@torch.no_grad()
def _each(net: Any, loader: Loader, precision: str, task: Task | None) -> Any:
    modes = [module.training for module in net.modules()]
    net.eval()
    for batch in loader.whole():
        with autocast(batch.index.device, precision):
            out = net.features(batch.inputs) if task is None else net(batch.inputs, task.head)
        yield batch.index, out.float() if task is None else task.rows(out, batch)
    for module, mode in zip(net.modules(), modes, strict=True):
        module.training = mode
