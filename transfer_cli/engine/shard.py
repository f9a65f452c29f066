"""Sharding, for nets that are too large for one device. Each process holds a shard of every parameter (torch's
`fully_shard`) and of the optimiser's state. Files contain the whole tensors, equal to those of one process up to
rounding."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Ema, Method
from transfer_cli.engine.ranks import Ranks
from transfer_cli.engine.settings import Trainer
from transfer_cli.errors import ConfigError, Fault


def check(method: Method, trainer: Trainer) -> None:
    """Raises ConfigError for methods and optimisers that do not support sharded parameters."""
    net: Any = getattr(method, "net", nn.Module())
    inside = {id(p) for p in net.parameters()}
    for wrong, text in (
        (any(isinstance(module, Ema) for module in method.modules()), "a moving average (ema) needs the whole net"),
        (bool(getattr(net, "grafts", [])), "lora, adapter and similar methods change whole layers"),
        (trainer.optimizer == "sgd", "sgd does not support sharded parameters; trainer.optimizer=adamw"),
        (any(id(p) not in inside for p in method.parameters()), "this method trains more than the net"),
    ):
        if wrong:
            raise ConfigError(Fault("runtime.shard", text, "true"))


def shard(method: Method, ranks: Ranks) -> None:
    """Shards the parameters of `method.net` over the processes, block by block. Afterwards `backward` sums gradients
    over all processes."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh, net = init_device_mesh(ranks.device.type, (ranks.world,)), getattr(method, "net", None)
    assert net is not None, "checked"
    backbone = net.backbone
    named = set(backbone.modules())
    blocks = [block for block in backbone.blocks() if block in named and not isinstance(block, nn.ModuleList)]
    with torch.no_grad():
        for p in net.parameters():
            p.data = p.data.contiguous()  # sharding splits the first axis in memory, which channels-last does not allow
    for module in (*blocks, backbone, *net.heads.values()):
        fully_shard(module, mesh=mesh)
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)  # gloo supports no other reduction


def whole(x: Tensor) -> Tensor:
    """The whole tensor of a sharded parameter or number. Every process must call it."""
    full: Tensor = x.full_tensor() if hasattr(x, "full_tensor") else x
    return full


def shares(tensors: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Converts whole tensors to the form of `like`: the shard of this process for each tensor that is sharded in
    `like`."""
    return {name: share(x, like[name]) for name, x in tensors.items()}


def share(x: Tensor, like: Any) -> Tensor:
    """The shard of `x` of this process if `like` is sharded; otherwise `x`."""
    if not hasattr(like, "full_tensor"):
        return x
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(x.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
