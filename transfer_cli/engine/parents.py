"""Nets of other runs and of weights files that a method reads while it trains: a teacher."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from torch import nn

from transfer_cli.contracts import Frozen
from transfer_cli.engine.pixels import Normalisation, normalisation
from transfer_cli.engine.stage_context import Job, StageContext
from transfer_cli.errors import ConfigError, Fault, StoreError
from transfer_cli.models.net import Net, input_spec
from transfer_cli.models.weights import load

FREE = ("mean", "std", "interpolation", "tokenizer")  # what may differ; a tokenizer is known by its digest


def parent(job: Job, context: StageContext, setting: str) -> Frozen:
    """The net that a setting of the stage's method names: frozen, in eval mode, with its heads and their classes. It
    takes the inputs of the stage's own net; pixels are normalised anew for it. Raises ConfigError if it reads other
    inputs, StoreError for weights that do not fit its model, Damaged if it is no longer in the store."""
    ref, key = job.spec["parents"][setting], f"{job.name}.{setting}"
    theirs = replace(job, spec=job.spec | {"model": ref["model"]})
    if "file" in ref:
        net = context.net(theirs, {"init": 0})
        _load(net, ref, key)
    else:
        net = context.net(theirs, ref)
    mine = input_spec(job.spec["model"], job.plugins)
    _must_agree(key, asdict(mine), asdict(net.input))
    here, there = normalisation(mine, context.device), normalisation(net.input, context.device)
    if here and there and (mine.mean, mine.std) != (net.input.mean, net.input.std):
        net.backbone.register_forward_pre_hook(_renormalised(here, there), with_kwargs=True)
    return Frozen(net)


def _load(net: Net, ref: dict[str, Any], key: str) -> None:
    try:
        load(net, Path(ref["file"]), sha256=ref["sha256"])
    except StoreError as error:
        raise StoreError(*(replace(fault, key=key) for fault in error.faults)) from error


def _must_agree(key: str, mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Raises ConfigError if a net whose input is `theirs` cannot read what is made for `mine`."""

    def fits(name: str) -> bool:
        longer = name == "length" and theirs[name] >= mine.get(name, 0)  # it may read more tokens than there are
        return name in FREE or longer or theirs[name] == mine.get(name)

    if other := [name for name in theirs if not fits(name)]:
        text = ", ".join(f"{name} {theirs[name]} (here {mine.get(name, 'none')})" for name in other)
        raise ConfigError(Fault(key, f"its net reads other inputs: {text}", do="choose a net with the same input"))


def _renormalised(here: Normalisation, there: Normalisation) -> Any:
    """A hook on a backbone that turns pixels normalised for one net into those for another."""

    def hook(module: nn.Module, args: Any, inputs: dict[str, Any]) -> Any:
        return args, inputs | {"pixels": there.inputs(here.pixels(inputs["pixels"]))}

    return hook
