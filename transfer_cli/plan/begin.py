"""The beginning of a plan: data opened, the net that `weights` names found, the model made to fit both."""

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
from transfer_cli.plan.code_of_stage import READS_WEIGHTS, Runs, code_of
from transfer_cli.plan.context import Context, State
from transfer_cli.plan.plan import Json, Stage, Stamps, key_of, stamps_of
from transfer_cli.plan.precision import resolved
from transfer_cli.plan.tasks import PlannedTask, task_of

Opened = dict[str, tuple[DataSet, DataSet | None, Stamps]]  # by the nodes of data and source


def begin(config: Config, runs: Path, opened: Opened) -> tuple[Context, State, Stamps]:
    """The context of a plan, the state before its first stage, and what the files of the data were when opened."""
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
    """Target, source and what their files were when they were opened."""
    nodes = json.dumps([values[key] for key in ("data", "source", "plugins")], sort_keys=True, default=str)
    if nodes not in opened:
        target, source = describe_pair(values, cache)
        files = [*target.raw.sources, *(source.raw.sources if source else ())]
        opened[nodes] = target, source, stamps_of(files)
    return opened[nodes]


def _with_model(context: Context, model: Json) -> Context:
    """The context with a model whose input fits the data. Raises ConfigError where it reads another kind of rows."""
    called = context.called("model", model["family"])
    tasks = [task_of(context.values, data) for data in (context.target, context.source) if data]
    causal = any(task.causal for task in tasks)
    inputs.check_kind(model, called, context.target, context.source, context.plugins, causal=causal)
    _gives_what_heads_want(context, model, called, tasks)
    fitted = inputs.fit(model["input"], context.target, context.source, context.seed, context.cache, context.plugins)
    return replace(context, values=context.values | {"model": {**model, "input": fitted}})


def _gives_what_heads_want(context: Context, model: Json, called: str, tasks: Sequence[PlannedTask]) -> None:
    """Raises ConfigError where a task's head reads the parts of a row, and the model gives one vector for the whole."""
    gives = signature("model", model["family"], context.plugins).flags.get("gives", "row")
    for task in tasks:
        if task.wants not in ("row", gives):
            text = f"gives one vector a row, and the task {task.name} wants its {task.wants}"
            raise ConfigError(Fault("model", text, called, see="see transfer list models"))


def _from_file(context: Context, word: str, file: Path) -> tuple[Context, State]:
    digest = digests([file], context.cache)[file]
    code = code_of(context, Runs(files=(READS_WEIGHTS,)))
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
    heads = None if _may_be_taught(results["config"]) else frozenset[str]()
    return replace(_with_model(context, model), inherited=stage, inherited_heads=heads), State({"init": context.seed})


def _may_be_taught(config: Mapping[str, Any]) -> bool:
    """Whether the net of a run may have a head: a stage learned from labels, or its weights came from outside."""
    if str(config.get("weights", "none")) != "none":
        return True
    methods = [str(config[name]["method"]) for name in config["stages"] if name != "evaluate"]
    return any(_learns_from_labels(name, config) for name in methods if name not in ("none", "given"))


def _learns_from_labels(method: str, config: Mapping[str, Any]) -> bool:
    try:
        found = signature("method", method, tuple(config.get("plugins") or ()))
    except ConfigError:  # a plugin's method, and the plugin is not here any more
        return True
    return any(stream["labelled"] for stream in found.streams.values())
