"""Helpers for networks of other libraries that serve as backbones: feature width and list of blocks."""

from collections.abc import Iterator

import torch
from torch import nn

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.kinds.pictures import InputSpec

# what a net raises for an image size that it does not support
UNFIT = (AssertionError, RuntimeError, ValueError, IndexError)


def width_of(net: nn.Module, name: str, input: InputSpec) -> int:
    """Returns the number of features of `net`, computed on the meta device, where a forward pass needs no memory.
    Raises ConfigError if the net does not support the image size."""
    state = {key: value.to("meta") for key, value in (*net.named_parameters(), *net.named_buffers())}
    net.eval()
    try:
        out = torch.func.functional_call(net, state, (input.blank(device="meta"),))
    except UNFIT as error:
        raise unsupported_size(name, input.crop, error) from error
    finally:
        net.train()
    return int(out.shape[1])


def unsupported_size(name: str, crop: int, error: Exception) -> ConfigError:
    """Returns the ConfigError for an image size that `name` does not support; `error` is one of UNFIT."""
    why = str(error).strip().partition("\n")[0][:120]
    return ConfigError(Fault("model.input.crop", f"{name} cannot take {crop} x {crop} pixels ({why})", str(crop)))


def flat_blocks(net: nn.Module) -> list[nn.Module]:
    """Returns the blocks of a net in the order of registration: its children, with sequences replaced by their members.
    The first block holds the parameters that belong to no child (the class token and positions of a ViT). Blocks
    without parameters are left out."""
    blocks = [own_parameters(net)]
    for child in net.children():
        blocks += list(child) if isinstance(child, nn.Sequential | nn.ModuleList) else [child]
    return with_parameters(blocks)


def layer_blocks(net: nn.Module) -> list[nn.Module]:
    """Returns the blocks of a net of repeated layers, in the order of registration: one block for all modules before
    the net's largest ModuleList, one block for each module in that list, and one block for all modules after it."""
    lists = [module for module in net.modules() if isinstance(module, nn.ModuleList)]
    stack = max(lists, key=lambda module: sum(p.numel() for p in module.parameters()))
    before, after, modules = nn.ModuleList(), nn.ModuleList(), [*_around(net, stack)]
    stack_index = modules.index(stack)
    for index, module in enumerate(modules):
        if module is not stack:
            (before if index < stack_index else after).append(module)
    return with_parameters([before, *stack, after])


def _around(module: nn.Module, stack: nn.Module) -> Iterator[nn.Module]:
    """Yields the children of `module`; a child that contains `stack` is replaced by its own children."""
    yield own_parameters(module)
    for child in module.children():
        if child is not stack and any(inner is stack for inner in child.modules()):
            yield from _around(child, stack)
        else:
            yield child


def own_parameters(module: nn.Module) -> nn.Module:
    """Returns the parameters that belong to `module` itself and to none of its children, as a module."""
    return nn.ParameterList(module.parameters(recurse=False))


def with_parameters(blocks: list[nn.Module]) -> list[nn.Module]:
    """Returns the blocks that hold at least one parameter."""
    return [block for block in blocks if any(True for _ in block.parameters())]
