"""Parameter groups: their parameters and optimisers, and the modules in training mode.

A parameter that requires a gradient and belongs to no group would silently never be updated, so this is an error."""

import math
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Method
from transfer_cli.engine.settings import Trainer
from transfer_cli.engine.shard import share


class ParamGroup:
    """The parameters that one loss updates, and their optimiser. `scales`: a learning-rate factor for each group of the
    optimiser."""

    def __init__(self, name: str, items: Any, trainer: Trainer) -> None:
        self.name = name
        groups = _merged([_group(item) for item in items])
        self.parameters = [p for group, _ in groups for p in group]
        self.scales = [scale for _, scale in groups]
        self.clip = trainer.clip
        self.optimizer = _optimizer([{"params": group} for group, _ in groups], trainer)

    def set_rate(self, rate: float) -> None:
        """Sets the learning rate: `rate` times the scale of each group of the optimiser."""
        for group, scale in zip(self.optimizer.param_groups, self.scales, strict=True):
            group["lr"] = rate * scale

    def gradients(self) -> list[Tensor]:
        """The gradients of the parameters that have one."""
        return [p.grad for p in self.parameters if p.grad is not None]

    def clear_gradients(self) -> None:
        """Sets all gradients to None. The optimiser's `zero_grad` does the same but takes 20 us longer, because it adds
        a profiler entry."""
        for p in self.parameters:
            p.grad = None


Group = tuple[list[nn.Parameter], float]


def _group(item: Any) -> Group:
    owner, scale = item if isinstance(item, tuple) else (item, 1.0)
    return ([owner] if isinstance(owner, nn.Parameter) else list(owner.parameters())), float(scale)


def _merged(groups: list[Group]) -> list[Group]:
    """Joins neighbouring groups with the same scale, because a fused optimiser starts one kernel per group."""
    runs = groupby((group for group in groups if group[0]), key=lambda group: group[1])
    return [([p for group, _ in run for p in group], scale) for scale, run in runs] or [([], 1.0)]


def _optimizer(groups: list[dict[str, Any]], trainer: Trainer) -> torch.optim.Optimizer:
    if trainer.optimizer == "sgd":
        return _sgd(groups, trainer)
    kind = torch.optim.Adam if trainer.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, trainer.lr, weight_decay=trainer.weight_decay, fused=True)


def _sgd(groups: list[dict[str, Any]], trainer: Trainer) -> torch.optim.SGD:
    momentum, decay = trainer.momentum, trainer.weight_decay
    optimizer = torch.optim.SGD(groups, trainer.lr, momentum, weight_decay=decay, nesterov=momentum > 0, fused=True)
    if momentum:
        # With gradual unfreezing, some parameters would have a momentum buffer and others not, and the fused kernel
        # raises an error for such a mixture.
        for p in (p for group in optimizer.param_groups for p in group["params"]):
            optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)
    return optimizer


def param_groups(method: Method, trainer: Trainer) -> dict[str, ParamGroup]:
    """Every group with its optimiser, by name. Raises TypeError if a parameter that requires a gradient belongs to no
    group, or if a parameter belongs to two."""
    groups = {name: ParamGroup(name, items, trainer) for name, items in method.param_groups().items()}
    names = {id(p): name for name, p in method.named_parameters()}
    owners: dict[int, str] = {}
    for group in groups.values():
        for p in group.parameters:
            if id(p) in owners:
                raise TypeError(f"{names.get(id(p), '?')} belongs to {owners[id(p)]} and to {group.name}")
            owners[id(p)] = group.name
    for name, p in method.named_parameters():
        if p.requires_grad and id(p) not in owners:
            raise TypeError(f"{name} requires a gradient, but belongs to no group")
    return groups


def set_modes(method: Method, groups: dict[str, ParamGroup]) -> None:
    """Sets training mode for modules with a parameter that is trained, and eval mode for the others, so that a frozen
    BatchNorm stays frozen. A module without parameters gets the mode of its parent."""
    owned = {id(p) for group in groups.values() for p in group.parameters if p.requires_grad}
    _walk(method, owned, True)


def _walk(module: nn.Module, owned: set[int], parent: bool) -> None:
    parameters = list(module.parameters())
    module.training = any(id(p) in owned for p in parameters) if parameters else parent
    for child in module.children():
        _walk(child, owned, module.training)


def rate(trainer: Trainer, t: int) -> float:
    """The learning rate at step t, a pure function of t: linear warm-up, then the schedule."""
    warmup_steps = round(trainer.warmup * trainer.steps)
    if t < warmup_steps:
        return trainer.lr * (t + 1) / warmup_steps
    progress = (t - warmup_steps) / max(1, trainer.steps - warmup_steps)
    if trainer.schedule == "cosine":
        return trainer.lr * 0.5 * (1 + math.cos(math.pi * progress))
    return trainer.lr * (1 - progress) if trainer.schedule == "linear" else trainer.lr


def state(groups: dict[str, ParamGroup]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of the optimisers, named `group.index.slot`: the index of the parameter and, for example,
    `momentum_buffer`."""
    for group in groups.values():
        for i, p in enumerate(group.parameters):
            for name, value in group.optimizer.state.get(p, {}).items():
                if isinstance(value, Tensor):
                    yield f"{group.name}.{i}.{name}", value


def load_state(groups: dict[str, ParamGroup], tensors: dict[str, Tensor]) -> None:
    """Restores the tensors that `state` returned, in the memory layout of the parameters."""
    for key, value in tensors.items():
        name, i, slot = key.rsplit(".", 2)
        group = groups[name]
        p = group.parameters[int(i)]
        same = value.shape == p.shape
        restored = torch.empty_like(p).copy_(share(value, p)) if same else value.clone().to(p.device)
        group.optimizer.state[p][slot] = restored.detach()
