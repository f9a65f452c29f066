"""Parents: nets of other runs or files that a method reads during training, such as a teacher."""

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

FREE = ("mean", "std", "interpolation", "tokenizer")  # keys that may differ; a tokenizer is compared by its digest


def parent(job: Job, context: StageContext, setting: str) -> Frozen:
    """The net that a setting of the stage's method names: frozen, in eval mode, with its heads and their classes. It
    takes the inputs of the stage's own net; pixels are converted to its own normalisation. Raises ConfigError if its
    inputs differ in another way, StoreError for weights that do not fit its model, Damaged if it is no longer in the
    store."""
    ref, key = job.spec["parents"][setting], f"{job.name}.{setting}"
    parent_job = replace(job, spec=job.spec | {"model": ref["model"]})
    if "file" in ref:
        net = context.net(parent_job, {"init": 0})
        _load(net, ref, key)
    else:
        net = context.net(parent_job, ref)
    own = input_spec(job.spec["model"], job.plugins)
    _must_agree(key, asdict(own), asdict(net.input))
    of_stage, of_parent = normalisation(own, context.device), normalisation(net.input, context.device)
    if of_stage and of_parent and (own.mean, own.std) != (net.input.mean, net.input.std):
        net.backbone.register_forward_pre_hook(_renormalised(of_stage, of_parent), with_kwargs=True)
    return Frozen(net)


def _load(net: Net, ref: dict[str, Any], key: str) -> None:
    try:
        load(net, Path(ref["file"]), sha256=ref["sha256"])
    except StoreError as error:
        raise StoreError(*(replace(fault, key=key) for fault in error.faults)) from error


def _must_agree(key: str, own: dict[str, Any], parent: dict[str, Any]) -> None:
    """Raises ConfigError if a net with the input `parent` cannot read rows that are prepared for the input `own`."""

    def fits(name: str) -> bool:
        longer = name == "length" and parent[name] >= own.get(name, 0)  # a longer context window is no problem
        return name in FREE or longer or parent[name] == own.get(name)

    if different := [name for name in parent if not fits(name)]:
        text = ", ".join(f"{name} {parent[name]} (here {own.get(name, 'none')})" for name in different)
        raise ConfigError(Fault(key, f"its net reads other inputs: {text}", do="choose a net with the same input"))


def _renormalised(of_stage: Normalisation, of_parent: Normalisation) -> Any:
    """A forward hook of a backbone that converts pixels from one normalisation to another."""

    def hook(module: nn.Module, args: Any, inputs: dict[str, Any]) -> Any:
        return args, inputs | {"pixels": of_parent.inputs(of_stage.pixels(inputs["pixels"]))}

    return hook
