"""Passes over all rows of a data loader without gradients: features or rows for a scoring."""

from typing import Any

import torch
from torch import Tensor

from transfer_cli.contracts import Loader, Rows
from transfer_cli.engine.device import autocast
from transfer_cli.task_contracts import Scoring


def features(net: Any, loader: Loader, precision: str) -> Tensor:
    """Features [N, D] fp32 of all rows, with the net in eval mode."""
    batches = list(_each(net, loader, precision, None))
    return _placed([index for index, _ in batches], [part for _, part in batches])


def rows(net: Any, scoring: Scoring, loader: Loader, precision: str) -> Rows:
    """The values of each row that metrics need, tensors [N, ...] by name, with the net in eval mode."""
    batches = list(_each(net, loader, precision, scoring))
    order = [index for index, _ in batches]
    return {name: _placed(order, [part[name] for _, part in batches]) for name in batches[0][1]}


def _placed(order: list[Tensor], parts: list[Tensor]) -> Tensor:
    """The rows of `parts`, moved to the positions in `order`."""
    rows = torch.cat(parts)
    return torch.empty_like(rows).index_copy_(0, torch.cat(order), rows)


@torch.no_grad()
def _each(net: Any, loader: Loader, precision: str, scoring: Scoring | None) -> Any:
    modes = [module.training for module in net.modules()]
    net.eval()
    for batch in loader.whole():
        with autocast(batch.index.device, precision):
            out = net.features(batch.inputs) if scoring is None else scoring.ask(net, batch)
        yield batch.index, out.float() if scoring is None else scoring.rows(out, batch)
    for module, mode in zip(net.modules(), modes, strict=True):
        module.training = mode
