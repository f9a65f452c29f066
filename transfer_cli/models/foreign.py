"""Nets of other libraries as backbones: how wide their features are, and their blocks."""

from collections.abc import Iterator

import torch
from torch import nn

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.kinds.pictures import InputSpec

UNFIT = (AssertionError, RuntimeError, ValueError, IndexError)  # what a net raises at pictures it cannot take


def width_of(net: nn.Module, name: str, input: InputSpec) -> int:
    """Feature size, seen on the meta device, where a picture costs nothing. Raises ConfigError for pictures that the
    net cannot take."""
    state = {key: value.to("meta") for key, value in (*net.named_parameters(), *net.named_buffers())}
    net.eval()
    try:
        out = torch.func.functional_call(net, state, (input.blank(device="meta"),))
    except UNFIT as error:
        raise too_odd(name, input.crop, error) from error
    finally:
        net.train()
    return int(out.shape[1])


def too_odd(name: str, crop: int, error: Exception) -> ConfigError:
    """What to raise for an error of UNFIT."""
    why = str(error).strip().partition("\n")[0][:120]
    return ConfigError(Fault("model.input.crop", f"{name} cannot take {crop} x {crop} pixels ({why})", str(crop)))


def opened(net: nn.Module) -> list[nn.Module]:
    """Children in the order of registration, sequences opened, those without parameters left out; in front of them the
    parameters that no child holds (ViT's class token and positions)."""
    blocks = [loose(net)]
    for child in net.children():
        blocks += list(child) if isinstance(child, nn.Sequential | nn.ModuleList) else [child]
    return with_parameters(blocks)


def stacked(net: nn.Module) -> list[nn.Module]:
    """What stands in front of the net's largest list of modules as one block, the modules of the list one by one, what
    comes after as one; all in the order of registration."""
    lists = [module for module in net.modules() if isinstance(module, nn.ModuleList)]
    stack = max(lists, key=lambda module: sum(p.numel() for p in module.parameters()))
    front, back, found = nn.ModuleList(), nn.ModuleList(), [*_around(net, stack)]
    at = found.index(stack)
    for place, module in enumerate(found):
        if module is not stack:
            (front if place < at else back).append(module)
    return with_parameters([front, *stack, back])


def _around(module: nn.Module, stack: nn.Module) -> Iterator[nn.Module]:
    """Children, those that hold the stack opened."""
    yield loose(module)
    for child in module.children():
        if child is not stack and any(inner is stack for inner in child.modules()):
            yield from _around(child, stack)
        else:
            yield child


def loose(module: nn.Module) -> nn.Module:
    """Parameters that no child holds, as a module."""
    return nn.ParameterList(module.parameters(recurse=False))


def with_parameters(blocks: list[nn.Module]) -> list[nn.Module]:
    """Blocks that have any."""
    return [block for block in blocks if any(True for _ in block.parameters())]
