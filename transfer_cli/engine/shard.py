"""Nets too large for one device: each process holds a share of every parameter (torch's `fully_shard`) and of the
optimiser's state. What is stored is put together again, and equals what one process would have stored, to rounding."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Ema, Method
from transfer_cli.engine.ranks import Ranks
from transfer_cli.engine.settings import Trainer
from transfer_cli.errors import ConfigError, Fault


def check(method: Method, trainer: Trainer) -> None:
    """Raises ConfigError for methods and optimisers that cannot work on shares of parameters."""
    net: Any = getattr(method, "net", nn.Module())
    inside = {id(p) for p in net.parameters()}
    for wrong, text in (
        (any(isinstance(module, Ema) for module in method.modules()), "a moving average (ema) needs the whole net"),
        (bool(getattr(net, "grafts", [])), "lora, adapter and others graft on whole layers"),
        (trainer.optimizer == "sgd", "sgd has no kernel for shares; trainer.optimizer=adamw"),
        (any(id(p) not in inside for p in method.parameters()), "this method trains more than the net"),
    ):
        if wrong:
            raise ConfigError(Fault("runtime.shard", text, "true"))


def shard(method: Method, ranks: Ranks) -> None:
    """Splits the parameters of `method.net` over the processes, block by block; gradients are then summed over all by
    `backward` itself."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh, net = init_device_mesh(ranks.device.type, (ranks.world,)), getattr(method, "net", None)
    assert net is not None, "checked"
    backbone = net.backbone
    named = set(backbone.modules())
    blocks = [block for block in backbone.blocks() if block in named and not isinstance(block, nn.ModuleList)]
    with torch.no_grad():
        for p in net.parameters():
            p.data = p.data.contiguous()  # shares are rows of memory, which a channels-last layout does not have
    for module in (*blocks, backbone, *net.heads.values()):
        fully_shard(module, mesh=mesh)
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)  # gloo knows no other


def whole(x: Tensor) -> Tensor:
    """A parameter or number of all processes put together; every process must call it."""
    full: Tensor = x.full_tensor() if hasattr(x, "full_tensor") else x
    return full


def shares(tensors: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole tensors in the form of `like`: where `like` is split, the share of this process."""
    return {name: share(x, like[name]) for name, x in tensors.items()}


def share(x: Tensor, like: Any) -> Tensor:
    """The share of this process of `x`, where `like` is split."""
    if not hasattr(like, "full_tensor"):
        return x
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(x.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
