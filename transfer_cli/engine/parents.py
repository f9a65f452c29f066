"""Nets of other runs and of weights files that a method reads while it trains: a teacher."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from transfer_cli.contracts import Frozen
from transfer_cli.engine.stage_context import Job, StageContext
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.models.backbone import InputSpec, Spec, input_spec
from transfer_cli.models.weights import load

CONVERTED = ("mean", "std", "interpolation")  # of pictures: what may differ


def parent(job: Job, context: StageContext, setting: str) -> Frozen:
    """The net that a setting of the stage's method names: frozen, in eval mode, with its heads and their classes. It
    takes the inputs of the stage's own net; pictures are normalised as it expects them. Raises ConfigError if its inputs
    are others, StoreError for weights that do not fit its model, Damaged if it is no longer in the store."""
    ref = job.spec["parents"][setting]
    theirs = replace(job, spec=job.spec | {"model": ref["model"]})
    if "file" in ref:
        net = context.net(theirs, {"init": 0})
        load(net, Path(ref["file"]), sha256=ref["sha256"])
    else:
        net = context.net(theirs, ref)
    mine = input_spec(job.spec["model"])
    _must_agree(f"{job.name}.{setting}", mine, net.input)
    if isinstance(mine, InputSpec) and (mine.mean, mine.std) != (net.input.mean, net.input.std):
        net.backbone.register_forward_pre_hook(_renormalised(mine, net.input, context.device), with_kwargs=True)
    return Frozen(net)


def _must_agree(key: str, mine: Spec, theirs: Spec) -> None:
    """Raises ConfigError if a net with the input spec `theirs` cannot read what is made for `mine`."""
    here, there = asdict(mine), asdict(theirs)
    free = CONVERTED if isinstance(mine, InputSpec) else ("tokenizer",)
    if "length" in there and there["length"] >= here.get("length", 0):
        free = (*free, "length")
    other = [name for name in there if name not in free and there[name] != here.get(name)]
    if other:
        text = ", ".join(f"{name} {there[name]} (here {here.get(name, 'none')})" for name in other)
        raise ConfigError(Fault(key, f"its net reads other inputs: {text}", do="choose a net with the same input"))


Hook = Callable[[nn.Module, Any, dict[str, Any]], Any]


def _renormalised(mine: InputSpec, theirs: InputSpec, device: torch.device) -> Hook:
    """A hook that turns pixels (x - mean) / std of one net into those of another."""
    mean, std, their_mean, their_std = (
        torch.tensor(x, device=device).view(-1, 1, 1) for x in (mine.mean, mine.std, theirs.mean, theirs.std)
    )
    scale, shift = std / their_std, (mean - their_mean) / their_std

    def hook(module: nn.Module, args: Any, inputs: dict[str, Any]) -> Any:
        return args, inputs | {"pixels": inputs["pixels"] * scale + shift}

    return hook
