"""Checks a composed configuration against signatures. Finds unknown keys, wrong types and values that are not allowed.
Fills in defaults and converts types. Collects all faults. Does not import the classes that it checks."""

from collections.abc import Callable, Mapping
from typing import Any

from transfer_cli.config import signatures
from transfer_cli.config.binding import Binder
from transfer_cli.config.signatures import PACKAGE, Param, Signature, signature_of, stems
from transfer_cli.config.values import seconds
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.extras import absent
from transfer_cli.plugins import load_class

Json = dict[str, Any]
NODES = ("data", "source", "model", "task", "evaluate", "trainer", "runtime")


def settings(name: str) -> dict[str, Param]:
    """The parameters of a fixed node: Root, Expect, Stage, Loader, Model, Trainer, Evaluate, Runtime or View."""
    homes = {"Trainer": "engine/settings.py", "Evaluate": "engine/settings.py", "Runtime": "engine/settings.py"}
    home = homes.get(name, "data/view.py" if name == "View" else "config/nodes.py")
    return signature_of(PACKAGE / home, name).params


class Checker(Binder):
    """One pass over a configuration."""

    def __init__(self, typed: Mapping[str, str], before: Json, origin: Callable[[str], str | None]) -> None:
        super().__init__(typed, before, origin)
        self.plugins: tuple[str, ...] = ()

    def config(self, values: Json) -> Json:
        """The whole configuration with defaults and converted types. It is valid only if `faults` is empty."""
        stages = values.get("stages")
        names = [s for s in stages if isinstance(s, str) and s != "evaluate"] if isinstance(stages, list) else []
        nodes = [
            key
            for key, node in values.items()
            if key in (*NODES, *names) or (isinstance(node, dict) and "method" in node)
        ]
        root = self.bind(settings("Root"), {k: v for k, v in values.items() if k not in nodes}, "", "the configuration")
        if isinstance(root["expect"], dict) and root["expect"]:
            root["expect"] = self.bind(settings("Expect"), root["expect"], "expect", "expect")
        self.plugins = tuple(name for name in root["plugins"] if isinstance(name, str))
        self._stage_names(root["stages"], values)
        return root | {key: self._node(key, values[key]) for key in nodes}

    def _stage_names(self, stages: Any, values: Json) -> None:
        if not isinstance(stages, list):
            return
        if not stages or stages[-1] != "evaluate" or len(set(map(str, stages))) < len(stages):
            self.fault("stages", "must be different names, evaluate last", stages)
        for name in stages:
            if name != "evaluate" and not isinstance(values.get(str(name)), dict):
                self.fault("stages", f"{name} has no method; say {name}=METHOD", stages)

    def _node(self, key: str, node: Any) -> Json:
        if not isinstance(node, dict):
            self.fault(key, "must be settings as {key: value}", node)
            return {}
        if key in ("data", "source"):
            return self._data(key, node)
        if key == "model":
            return self.model(node)
        if key == "task":
            return self._task(node)
        if key == "trainer":
            return self.bind(settings("Trainer"), node, key, key)
        if key == "runtime":
            return self._runtime(node)
        return self._evaluate(node) if key == "evaluate" else self._stage(key, node)

    def _data(self, key: str, node: Json) -> Json:
        family = node.get("family")
        if family == "none" and key == "source":
            return {"family": family, **self.bind({}, _without(node, "family"), key, "source=none")}
        own = {} if family == "base" and key == "source" else self._params("data", key, "family", node)
        if own is None:
            return node
        return {"family": family, **self.bind(own | settings("View"), _without(node, "family"), key, str(family))}

    def model(self, node: Json) -> Json:
        """The checked node of a model."""
        own = self._params("model", "model", "family", node)
        if own is None:
            return node
        model = self.bind(own | settings("Model"), _without(node, "family"), "model", str(node["family"]))
        if isinstance(model.get("input"), dict):
            model["input"] = self._input(model["input"])
        return {"family": node["family"], **model}

    def _input(self, node: Json) -> Json:
        """The checked input of a model, by the kind of row with which it shares the most keys."""
        kinds = {name: signatures.signature("kind", name, self.plugins) for name in stems("kind", self.plugins)}
        shared = {name: len(node.keys() & set(kind.flags.get("input", ()))) for name, kind in kinds.items()}
        name = max(shared, key=lambda kind: shared[kind])
        before = len(self.faults)
        params = signature_of(kinds[name].path, "Input").params
        spec = self.bind(params, node, "model.input", "the input of a model")
        if len(self.faults) > before:
            return spec
        try:
            completed: Json = load_class("kinds", name, self.plugins)().completed(spec)
        except ConfigError as error:
            for fault in error.faults:
                self.fault(fault.key, fault.text, spec.get(fault.key.rpartition(".")[2], fault.value))
            return spec
        return completed

    def _task(self, node: Json) -> Json:
        if "task" not in node:
            self.fault("task", f"settings of a task that is not named; say task=NAME task.{next(iter(node))}=...", None)
            return node
        own = self._params("task", "task", "task", node)
        if own is None:
            return node
        return {"task": node["task"], **self.bind(own, _without(node, "task"), "task", str(node["task"]))}

    def _evaluate(self, node: Json) -> Json:
        values = self.bind(settings("Evaluate"), _without(node, "predictor"), "evaluate", "evaluate")
        at, inner = "evaluate.predictor", node.get("predictor", {"predictor": "none"})
        if not isinstance(inner, dict):
            self.faults.append(Fault(at, f"the word is predictor={inner}", str(inner)))
            return values
        name = inner.get("predictor")
        own = {} if name == "none" else self._params("predictor", at, "predictor", inner)
        if own is None:
            return values
        bound = self.bind(own, _without(inner, "predictor"), at, str(name))
        return values | {"predictor": {"predictor": name, **bound}}

    def _runtime(self, node: Json) -> Json:
        runtime = self.bind(settings("Runtime"), node, "runtime", "runtime")
        try:
            if isinstance(runtime["max_time"], str):
                seconds(runtime["max_time"])
        except ValueError as error:
            self.fault("runtime.max_time", str(error), runtime["max_time"])
        return runtime

    def _stage(self, key: str, node: Json) -> Json:
        method = node.get("method")
        empty = method in ("none", "given")
        own = {} if empty else self._params("method", key, "method", node)
        if own is None:
            return node
        streams = {} if empty else signatures.signature("method", str(method), self.plugins).streams
        if key.startswith("fine_tune") and {"source", "target"} <= set(streams):
            self.faults.append(Fault(key, "aligns source and target", str(method), see=f"say align={method}"))
        stage = self.bind(own | settings("Stage"), _without(node, "method"), key, str(method))
        trainer = self.bind(settings("Trainer"), stage["trainer"], f"{key}.trainer", "trainer", fill=False)
        known = {name: Param(name, "dict") for name in streams}
        feeds = self.bind(known, stage["feeds"], f"{key}.feeds", f"{method} (a stream)", fill=False)
        sampled: Json = {name: {} for name, stream in streams.items() if stream["sampler"]}
        nodes = {name: self._feed(f"{key}.feeds.{name}", streams[name], f) for name, f in (sampled | feeds).items()}
        return {"method": method, **stage, "trainer": trainer, "feeds": nodes}

    def _feed(self, key: str, stream: Json, node: Any) -> Json:
        """The settings of a stream: those of every stream, and those of its sampler, if it has one."""
        sampler = node.get("sampler") or stream.get("sampler") if isinstance(node, dict) else None
        if not sampler:
            return self.bind(settings("Loader"), node, key, "a stream")
        own = self._params("sampler", key, "sampler", node | {"sampler": sampler})
        if own is None:
            return dict(node)
        return self.bind(settings("Loader") | own, node | {"sampler": sampler}, key, str(sampler))

    def _params(self, group: str, key: str, field: str, node: Json) -> dict[str, Param] | None:
        """The settings of the class that `node[field]` names; records a fault and returns None if there is no such
        class."""
        name = node.get(field)
        try:
            declared: Signature = signatures.signature(group, name if isinstance(name, str) else "", self.plugins)
            self.faults += absent(declared.extra, key, str(name)) if declared.extra else []
            return declared.params
        except ConfigError as error:
            fault = error.faults[0]
            same = fault.key == group  # an unknown file; other faults (a bad annotation) keep their own key
            text = f"no such {signatures.FOLDERS[group]} file"
            self.faults.append(
                Fault(f"{key}.{field}", text, str(name), fault.allowed, fault.nearest) if same else fault
            )
            return None


def _without(node: Json, name: str) -> Json:
    return {key: value for key, value in node.items() if key != name}
