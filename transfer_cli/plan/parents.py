"""Parents: settings of a method that name another net, a RUN or a file of weights. The content of the file or of the
run's net is part of the stage key, so the stage is computed again if the content changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from transfer_cli.config.compose import model_named
from transfer_cli.config.pretrained import is_folder_of_weights
from transfer_cli.config.pretrained import model_of as model_of_folder
from transfer_cli.config.signatures import signature
from transfer_cli.config.words import is_path
from transfer_cli.data.cache import digests
from transfer_cli.errors import ConfigError, Fault, StoreError, TransferError
from transfer_cli.plan import inputs, origin
from transfer_cli.plan.code_of_stage import READS_WEIGHTS
from transfer_cli.plan.context import Context
from transfer_cli.plan.plan import Json
from transfer_cli.plan.precision import resolved
from transfer_cli.plan.slot import Slot
from transfer_cli.safe import safe
from transfer_cli.store.store import Store


@dataclass(frozen=True)
class Parent:
    """`ref`: the reference for the engine, {"key", "rule", "part", "model"} of a stored stage or {"file", "sha256",
    "model"}. `files`: the weights file, if any; `code`: the files that build the net and read its weights."""

    setting: str
    ref: Json
    code: tuple[Path, ...]
    files: tuple[Path, ...] = ()


def parents_of(context: Context, slot: Slot) -> tuple[Parent, ...]:
    """The parents that the settings of a slot name. Raises ConfigError if there is no such run, StoreError if there is
    no such file or if the run's net is no longer in the store."""
    named = [(setting, slot.node[setting]) for setting in slot.method.parents if slot.node[setting] is not None]
    return tuple(_parent(context, slot, setting, str(word)) for setting, word in named)


def no_hidden_files(slot: Slot) -> None:
    """Raises ConfigError if a setting that is no parent names a file, because the key would contain its path but not
    its content."""
    for param in slot.method.params.values():
        value = slot.node.get(param.name)
        is_text = isinstance(value, str) and value not in param.choices and param.name not in slot.method.parents
        if is_text and _is_path(str(value)):
            text = f"names a file, and {param.name} is none of the method's parents: a change would not be noticed"
            do = f'parents = ("{param.name}",) in {slot.method.path.name}'
            raise ConfigError(Fault(f"{slot.name}.{param.name}", text, safe(str(value)), do=do))


def _is_path(value: str) -> bool:
    path = Path(value).expanduser()
    return path.is_file() or (is_path(value) and path.exists())


def _parent(context: Context, slot: Slot, setting: str, word: str) -> Parent:
    with _faults_of(f"{slot.name}.{setting}"):
        model = _model_of_file(context, slot, setting, word)
        file = origin.weights_file(word, model, context.cache)
        if file is None:
            return _from_run(context, setting, word)
        digest = digests([file], context.cache)[file]
        called = context.called("model", model["family"])
        inputs.check_kind(model, called, context.target, context.source, context.plugins)
        fitted = inputs.fit(model["input"], context.target, context.source, context.seed, context.cache)
        ref = {"file": str(file.resolve()), "sha256": digest, "model": {**model, "input": fitted}}
        return Parent(setting, ref, (*_family(context, model), READS_WEIGHTS), (file,))


def _model_of_file(context: Context, slot: Slot, setting: str, word: str) -> Json:
    """The model node of a weights file: from the setting `<parent>_model` of the method (a name as after `model=`) if
    set, otherwise from the configuration in the file's folder, otherwise the model of the run."""
    search, plugins = context.config.search, context.plugins
    name = slot.node.get(f"{setting}_model")
    if name is None and is_folder_of_weights(word):
        option, settings = model_of_folder(word)
        model = model_named(option, search, plugins, settings)
    elif name is None:
        return context.model
    else:
        model = model_named(str(name), search, plugins, key=f"{slot.name}.{setting}_model")
    return model | {"precision": resolved(model["precision"], context.values["runtime"]["device"])}


def _from_run(context: Context, setting: str, ref: str) -> Parent:
    results = origin.run_of(context.runs, ref)
    last = origin.last_net(results, ref)
    if not Store(context.runs / ".store", create=False).done(last["key"]):
        text = f"the net of run {safe(results['id'])} is no longer in the store"
        raise StoreError(Fault("weights", text, safe(ref), do="run that run's words again; see its overrides.txt"))
    model = dict(results["config"]["model"])
    origin.bring_tokenizer(model, last["key"], context.runs)
    net = {"key": last["key"], "rule": last["rule"], "part": "net", "model": model}
    return Parent(setting, net, _family(context, model))


def _family(context: Context, model: Json) -> tuple[Path, ...]:
    return (signature("model", str(model["family"]), context.plugins).path,)


@contextmanager
def _faults_of(key: str) -> Iterator[None]:
    """Replaces the key `weights` in errors by `key`, the setting that names the parent."""
    try:
        yield
    except TransferError as error:
        raise type(error)(*(_renamed(fault, key) for fault in error.faults)) from None


def _renamed(fault: Fault, key: str) -> Fault:
    if fault.key != "weights":
        return fault
    return replace(fault, key=key, do=fault.do and fault.do.replace("weights=", f"{key}="))
