"""The first part of a plan: opens the data, finds the initial net, fits the model to both."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfer_cli.config.compose import Config
from transfer_cli.config.signatures import signature
from transfer_cli.data.cache import digests
from transfer_cli.data.dataset import DataSet
from transfer_cli.data.open import describe_pair
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.plan import inputs, origin
from transfer_cli.plan.code_of_stage import READS_WEIGHTS, UsedCode, code_of
from transfer_cli.plan.context import Context, State
from transfer_cli.plan.plan import Json, Stage, Stamps, key_of, stamps_of
from transfer_cli.plan.precision import resolved
from transfer_cli.plan.tasks import PlannedTask, task_of

Opened = dict[str, tuple[DataSet, DataSet | None, Stamps]]  # by the JSON of the nodes data, source and plugins


def begin(config: Config, runs: Path, opened: Opened) -> tuple[Context, State, Stamps]:
    """Returns the context of a plan, the state before its first stage, and the stamps (size, time) of the data files
    when they were opened. Raises ConfigError, DataError or StoreError if data, model and `weights` do not fit."""
    values: Json = dict(config.values)
    precision = resolved(values["model"]["precision"], values["runtime"]["device"])
    values["model"] = {**values["model"], "precision": precision}
    target, source, stamps = _data_sets(values, runs / ".cache", opened)
    context = Context(config, values, target, source, runs)
    word = str(values["weights"])
    if word == "none":
        return _with_model(context, values["model"]), State({"init": context.seed}), stamps
    file = origin.weights_file(word, values["model"], context.cache)
    if file is None:
        return *_from_run(context, word), stamps
    return *_from_file(_with_model(context, values["model"]), word, file), stamps


def _data_sets(values: Json, cache: Path, opened: Opened) -> tuple[DataSet, DataSet | None, Stamps]:
    """Target, source, and the stamps of their files when they were opened."""
    nodes = json.dumps([values[key] for key in ("data", "source", "plugins")], sort_keys=True, default=str)
    if nodes not in opened:
        target, source = describe_pair(values, cache)
        files = [*target.raw.sources, *(source.raw.sources if source else ())]
        opened[nodes] = target, source, stamps_of(files)
    return opened[nodes]


def _with_model(context: Context, model: Json) -> Context:
    """The context with the model, whose input is fitted to the data. Raises ConfigError if the model reads another kind
    of rows."""
    called = context.called("model", model["family"])
    tasks = [task_of(context.values, data) for data in (context.target, context.source) if data]
    causal = any(task.causal for task in tasks)
    inputs.check_kind(model, called, context.target, context.source, context.plugins, causal=causal)
    _check_heads(context, model, called, tasks)
    fitted = inputs.fit(model["input"], context.target, context.source, context.seed, context.cache, context.plugins)
    return replace(context, values=context.values | {"model": {**model, "input": fitted}})


def _check_heads(context: Context, model: Json, called: str, tasks: Sequence[PlannedTask]) -> None:
    """Raises ConfigError if the head of a task reads the states of a row, and the model returns one vector per row."""
    gives = signature("model", model["family"], context.plugins).flags.get("gives", "row")
    for task in tasks:
        if task.wants not in ("row", gives):
            text = f"returns one vector a row, and the task {task.name} needs the {task.wants} of a row"
            raise ConfigError(Fault("model", text, called, see="see transfer list models"))


def _from_file(context: Context, word: str, file: Path) -> tuple[Context, State]:
    digest = digests([file], context.cache)[file]
    code = code_of(context, UsedCode(files=(READS_WEIGHTS,)))
    spec = {"kind": "given", "weights": digest, "model": context.model, "code": code.hashes}
    stage = Stage("pretrain", "given", f"weights {Path(word).name}", spec, key_of(spec))
    return replace(context, inherited=stage, weights=file), State({"init": context.seed}, files=code.files | {file})


def _from_run(context: Context, ref: str) -> tuple[Context, State]:
    results = origin.run_of(context.runs, ref)
    last = origin.last_net(results, ref)
    model = origin.model_of(results, context.values["model"], context.config.words)
    origin.bring_tokenizer(model, last["key"], context.runs)
    what, rule = f"run {results['id']}", last["rule"]
    stage = Stage("pretrain", "given", what, {"kind": "given"}, last["key"], rule, (rule,))
    heads = None if _may_have_head(results["config"]) else frozenset[str]()
    return replace(_with_model(context, model), inherited=stage, inherited_heads=heads), State({"init": context.seed})


def _may_have_head(config: Mapping[str, Any]) -> bool:
    """Whether the net of a run may have a trained head: a stage learned from labels, or its weights came from
    outside."""
    if str(config.get("weights", "none")) != "none":
        return True
    methods = [str(config[name]["method"]) for name in config["stages"] if name != "evaluate"]
    return any(_learns_from_labels(name, config) for name in methods if name not in ("none", "given"))


def _learns_from_labels(method: str, config: Mapping[str, Any]) -> bool:
    try:
        streams = signature("method", method, tuple(config.get("plugins") or ())).streams
    except ConfigError:  # the method belongs to a plugin that is no longer installed
        return True
    return any(stream["labelled"] for stream in streams.values())
