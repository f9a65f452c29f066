"""A configuration becomes stages with keys. No torch: `show` and every check run on this.

A key is the sha256 of all that decides a stage's result: method and every parameter, parents, data views, model,
effective trainer, seed, role and code. Names of strategy or run, intervals of saving and `runtime` are not in it."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from transfer_cli import closure, rundir
from transfer_cli.config.compose import Config
from transfer_cli.config.signatures import Signature, signature
from transfer_cli.data.cache import digests
from transfer_cli.data.describe import DataSet, describe_pair
from transfer_cli.data.raw import Places
from transfer_cli.errors import ConfigError, DataError, Fault, StoreError
from transfer_cli.safe import shown

PACKAGE = Path(__file__).parent
AUGMENT, METRICS = PACKAGE / "data" / "augment.py", PACKAGE / "metrics" / "classification.py"
HUB_FOLDER = Path(os.environ.get("TORCH_HOME") or "~/.cache/torch").expanduser() / "hub" / "checkpoints"
RESERVED = ("method", "seed", "rule", "trainer", "feeds")
Json = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """One stage of a run. `spec` is what is hashed into `key`; `rules` are the snapshots it can hand on and `rule`
    the one it does; `what` is for people. `key` "" is an empty slot."""

    name: str
    method: str
    what: str
    spec: Json
    key: str = ""
    rule: str = "final"
    rules: tuple[str, ...] = ("final",)
    seed: int = 0

    @property
    def kind(self) -> str:
        return str(self.spec.get("kind", "none"))


@dataclass(frozen=True)
class Plan:
    """The stages of a run in order, and the data they read."""

    config: Config
    values: Json
    stages: tuple[Stage, ...]
    target: DataSet
    source: DataSet | None
    weights: Path | None = None
    watched: Mapping[Path, tuple[int, int]] = field(default_factory=dict, repr=False)

    def changed(self) -> list[Path]:
        """Files of data, weights or code whose size or time is not what it was when the plan was made."""
        return [path for path, stamp in self.watched.items() if _stamp(path) != stamp]

    def data(self, side: str) -> DataSet:
        chosen = self.source if side == "source" else self.target
        assert chosen is not None, "the plan refuses a stage that reads a source where there is none"
        return chosen

    @property
    def work(self) -> tuple[Stage, ...]:
        """Stages that are computed (slots that are not empty)."""
        return tuple(stage for stage in self.stages if stage.key)


def plan(config: Config, *, runs: Path) -> Plan:
    """The plan of one run. Raises ConfigError, DataError or StoreError for what can be known before any training."""
    return _Planner(config, runs).plan()


def key_of(spec: Mapping[str, Any]) -> str:
    """First 32 hex digits of sha256 over canonical JSON."""
    return sha256(json.dumps(spec, sort_keys=True, allow_nan=False).encode()).hexdigest()[:32]


def bound(slot: str, stream: str, streams: Mapping[str, Any]) -> str:
    """Which data a stream reads: pretrain learns from the source, so a lone stream means the source there."""
    return "source" if slot == "pretrain" and len(streams) == 1 else stream


class _Planner:
    def __init__(self, config: Config, runs: Path) -> None:
        self.config, self.runs = config, runs
        self.values: Json = dict(config.values)
        self.plugins = tuple(self.values["plugins"])
        self.cache = runs / ".cache"
        self.seed = int(self.values["seed"])
        self.net: Json = {}
        self.classes: tuple[str, ...] | None = None  # of the net's head, as far as known
        self.last: Stage | None = None
        self.weights: Path | None = None
        self.code: set[Path] = set()  # files in any key

    def plan(self) -> Plan:
        self.target, self.source = describe_pair(self.values, self.cache)
        inherited = self._weights()
        stages = [self._stage(name, inherited) for name in self.values["stages"] if name != "evaluate"]
        if "evaluate" in self.values["stages"]:
            stages.append(self._evaluate())
        files = [*self.code, *self.target.raw.sources, *(self.source.raw.sources if self.source else ())]
        watched = {path: _stamp(path) for path in [*files, *([self.weights] if self.weights else [])]}
        return Plan(self.config, self.values, tuple(stages), self.target, self.source, self.weights, watched)

    # where the net starts
    def _weights(self) -> Stage | None:
        """Resolves `weights`: a file (or imagenet) becomes a `given` stage, a run the stage that made its net."""
        word = str(self.values["weights"])
        if word == "none":
            self.net = {"init": self.seed}
            return None
        if word != "imagenet" and not Path(word).expanduser().exists():
            return self._from_run(word)
        self.weights = _weights_file(word, self.values["model"], self.cache)
        digest = digests([self.weights], self.cache)[self.weights]
        spec = {"kind": "given", "weights": digest, "model": self._model(), "code": self._code()}
        return Stage("pretrain", "given", f"weights {Path(word).name}", spec, key_of(spec))

    def _from_run(self, ref: str) -> Stage:
        found = rundir.find(self.runs, ref)
        if len(found) != 1:
            raise ConfigError(Fault("weights", f"stands for {len(found)} runs; name one", ref))
        results = rundir.read_results(found[0])
        trained = [s for s in results["stages"] if s["key"] and s["name"] != "evaluate"]
        if not trained:
            raise ConfigError(Fault("weights", f"run {results['id']} trained no net", ref))
        if "model" not in {word.split("=")[0] for word in self.config.words}:
            self.values["model"] = results["config"]["model"]
        last = trained[-1]
        return Stage("pretrain", "given", f"run {results['id']}", {"kind": "given"}, last["key"], rule=last["rule"])

    # one stage
    def _stage(self, name: str, inherited: Stage | None) -> Stage:
        node = self.values[name]
        if node["method"] == "none":
            return Stage(name, "none", "none", {})
        if node["method"] == "given":
            return self._given(name, inherited)
        chosen = signature("method", node["method"], self.plugins)
        sides = {stream: bound(_slot(name), stream, chosen.streams) for stream in chosen.streams}
        self._need_source(name, node["method"], sides)
        self._closed_set(name, node["method"], chosen, sides)
        stage = self._train(name, node, chosen, sides)
        self._hand_on(stage, chosen, sides)
        return stage

    def _given(self, name: str, inherited: Stage | None) -> Stage:
        if inherited is None:
            raise ConfigError(
                Fault(name, "there are no weights to give", "given", do="weights=FILE, imagenet or a RUN")
            )
        self.last, self.net = inherited, {"key": inherited.key, "rule": inherited.rule, "part": "net"}
        return replace(inherited, name=name)

    def _train(self, name: str, node: Json, chosen: Signature, sides: Mapping[str, str]) -> Stage:
        seed = self._seed(node)
        trainer = self.values["trainer"] | node["trainer"]
        rules = self._rules(chosen, sides) if chosen.steps and trainer["validations"] else []
        streams = {s: self._view(chosen, s, side, node, seed) for s, side in sides.items()}
        drawn = any(view != "none" for stream in streams.values() for view in stream["views"])
        spec = {
            "kind": "train",
            "method": {k: v for k, v in node.items() if k not in RESERVED or k == "method"},
            "role": name.replace("_", "/") if name[-1].isdigit() else name,
            "net": self.net if "key" in self.net else {"init": seed},
            "model": self._model(),
            "streams": streams,
            "code": self._code(method=node["method"], sides=sides.values(), extra=[AUGMENT] if drawn else []),
        }
        if chosen.steps:  # a method without steps draws nothing and reads no trainer
            effective = trainer | {"precision": trainer["precision"] or self.values["model"]["precision"]}
            spec |= {"seed": seed, "trainer": effective, "validation": {r: self._held_out(r, seed) for r in rules}}
            if self.values["oracle"]:
                spec["oracle"] = self.target.key("test", labelled=True, seed=seed)
        rule = self._rule(name, node, ("final", *rules))
        what = f"{self.config.choices.get(name, node['method'])}, " + " + ".join(self._reads(chosen, sides, seed))
        return Stage(name, node["method"], what, spec, key_of(spec), rule, ("final", *rules), seed)

    def _seed(self, node: Json) -> int:
        return self.seed if node["seed"] in (None, "same") else int(node["seed"])

    def _view(self, chosen: Signature, stream: str, side: str, node: Json, seed: int) -> Json:
        wants, data = chosen.streams[stream], self._data(side)
        batch = node["feeds"].get(stream, {}).get("batch")
        return {
            "side": side,
            "part": wants["part"],
            "data": data.key(wants["part"], labelled=wants["labelled"], seed=seed),
            "classes": list(data.classes),
            "labelled": wants["labelled"],
            "views": [data.augment if view == "train" else view for view in wants["views"]]
            if chosen.steps
            else ["none"],
            **({"batch": batch} if batch else {}),
        }

    def _reads(self, chosen: Signature, sides: Mapping[str, str], seed: int) -> Iterator[str]:
        for stream, side in sides.items():
            wants, data = chosen.streams[stream], self._data(side)
            count = len(data.rows(wants["part"], labelled=wants["labelled"], seed=seed).index)
            yield f"{data.title} {count:,}" + ("" if wants["labelled"] else " no label")

    def _rules(self, chosen: Signature, sides: Mapping[str, str]) -> list[str]:
        """Rules that could choose a snapshot: validation labels count as used only where training labels are."""
        labelled = {side for stream, side in sides.items() if chosen.streams[stream]["labelled"]}
        return [f"{side}_val" for side in ("source", "target") if side in labelled and self._data(side).has("val")]

    def _held_out(self, rule: str, seed: int) -> Json:
        return self._data(rule.removesuffix("_val")).key("val", labelled=True, seed=seed)

    def _rule(self, name: str, node: Json, rules: Sequence[str]) -> str:
        rule = str(node["rule"])
        if rule in rules:
            return rule
        if name == "pretrain" and rule == "source_val":  # the default, where nothing can be chosen by validation
            return "final"
        raise ConfigError(Fault(f"{name}.rule", "this stage keeps no such snapshot", rule, tuple(rules), rules[0]))

    def _hand_on(self, stage: Stage, chosen: Signature, sides: Mapping[str, str]) -> None:
        self.last, self.net = stage, {"key": stage.key, "rule": stage.rule, "part": "net"}
        labelled = [side for stream, side in sides.items() if chosen.streams[stream]["labelled"]]
        if labelled:
            self.classes = self._data(labelled[-1]).classes

    # checks
    def _data(self, side: str) -> DataSet:
        data = self.source if side == "source" else self.target
        assert data is not None, "checked by _need_source"
        return data

    def _need_source(self, name: str, method: str, sides: Mapping[str, str]) -> None:
        if "source" in sides.values() and self.source is None:
            do = "source=NAME, weights=..., or strategy=scratch"
            raise DataError(Fault(f"{name}={method}", "needs a source, and source is none", do=do))

    def _closed_set(self, name: str, method: str, chosen: Signature, sides: Mapping[str, str]) -> None:
        kinds = {(side, chosen.streams[stream]["labelled"]) for stream, side in sides.items()}
        if {("source", True), ("target", False)} <= kinds:
            assert self.source is not None
            self._same_classes(f"{name}={method} needs the same classes", self.source.title, self.source.classes)

    def _same_classes(self, fault: str, title: str, classes: Sequence[str]) -> None:
        mine, shared = self.target.classes, len(set(classes) & set(self.target.classes))
        if tuple(classes) != tuple(mine):
            text = f"{title} {len(classes)}, {self.target.title} {len(mine)}, {shared} shared"
            raise DataError(Fault(fault, text, do="strategy=fine_tune, or choose classes with data.classes"))

    # evaluation
    def _evaluate(self) -> Stage:
        node = self.values["evaluate"]
        predictor = node["predictor"]
        few_label = predictor["predictor"] != "none"
        self._check_evaluation(node, few_label)
        rules = self.last.rules if self.last else ("final",)
        headline = self.last.rule if self.last else "final"
        # the headline's snapshot is the one that was handed on; the others stand beside it
        nets = {r: {**self.net, "rule": r} for r in rules} if "key" in self.net else {"final": self.net}
        spec: Json = {
            "kind": "evaluate",
            "nets": nets,
            "headline": headline,
            "model": self._model(),
            "test": self.target.key("test", labelled=True, seed=self.seed),
            "classes": list(self.target.classes),
            "predictor": predictor,
            "code": self._code(sides=["target"], predictor=predictor["predictor"], extra=[METRICS]),
        }
        if few_label:
            spec["support"] = self.target.key("train", labelled=True, seed=self.seed)
        if few_label and node["way"]:
            spec |= {"episodes": {k: node[k] for k in ("way", "shots", "queries", "draws")}, "seed": self.seed}
        count = len(self.target.rows("test", seed=self.seed).index)
        what = f"{self.target.title} test {count:,}"
        if "episodes" in spec:
            what += f", {node['draws']} draws of {node['way']}-way {node['shots']}-shot"
        return Stage("evaluate", predictor["predictor"], what, spec, key_of(spec), headline, tuple(rules), self.seed)

    def _check_evaluation(self, node: Json, few_label: bool) -> None:
        if not few_label:
            if node["way"]:
                raise ConfigError(
                    Fault("evaluate.way", "episodes need a predictor", str(node["way"]), do="predictor=prototypes")
                )
            if self.classes is not None:
                self._same_classes("evaluate: the net's classes are not the target's", "the net's", self.classes)
            return
        if node["way"]:
            self._enough_for_episodes(node)

    def _enough_for_episodes(self, node: Json) -> None:
        if node["way"] > len(self.target.classes):
            text = f"{self.target.title} has {len(self.target.classes)} classes"
            raise DataError(
                Fault("evaluate.way", text, str(node["way"]), do=f"evaluate.way={len(self.target.classes)}")
            )
        for key, part in (("shots", "train"), ("queries", "test")):
            rows = self.target.rows(part, seed=self.seed)
            counts = [int((rows.labels == c).sum()) for c in range(len(self.target.classes))]
            least = min(range(len(counts)), key=counts.__getitem__)
            if counts[least] < node[key]:
                text = (
                    f"class {self.target.classes[least]} has {counts[least]} {part} rows; allowed 1 to {counts[least]}"
                )
                raise DataError(Fault(f"evaluate.{key}", text, str(node[key])))

    # what enters every key
    def _model(self) -> Json:
        return dict(self.values["model"])

    def _code(
        self, *, method: str = "none", sides: Iterable[str] = (), predictor: str = "none", extra: Iterable[Path] = ()
    ) -> Json:
        """Token hash of the files a stage runs on, and the hub number for those that every stage runs on."""
        names = {("model", str(self.values["model"]["family"])), *(("data", self._family(side)) for side in sides)}
        names |= {pair for pair in (("method", method), ("predictor", predictor)) if pair[1] != "none"}
        paths = sorted({*(signature(group, name, self.plugins).path for group, name in names), *extra})
        self.code |= set(paths)
        return {"hub": closure.HUB, "files": closure.code_hash(paths, self.cache / "code.json")}

    def _family(self, side: str) -> str:
        family = str(self.values[side if side == "source" else "data"]["family"])
        return str(self.values["data"]["family"]) if family == "base" else family


def _stamp(path: Path) -> tuple[int, int]:
    try:
        facts = path.stat()
    except OSError:
        return -1, -1
    return facts.st_size, facts.st_mtime_ns


def _slot(name: str) -> str:
    return name.rsplit("_", 1)[0] if name[-1].isdigit() else name


def _weights_file(word: str, model: Json, cache: Path) -> Path:
    if word != "imagenet":
        path = Path(word).expanduser()
        if path.is_dir():
            raise StoreError(Fault("weights", "is a folder; name a .safetensors, .pth, .th or .pt file", word))
        return path
    return _imagenet(str(model.get("name")), [*Places(cache).roots("weights"), HUB_FOLDER])


def _imagenet(name: str, folders: Sequence[Path]) -> Path:
    """torchvision's file of a model, `<name>-<8 hex digits>.pth`, wherever it lies. Raises StoreError."""
    for folder in folders:
        if found := sorted(folder.glob(f"{name}*-[0-9a-f]*.pth")):
            return found[0]
    text = f"{name}-*.pth is in none of {', '.join(shown(folder) for folder in folders)}"
    raise StoreError(Fault("weights", text, "imagenet", do=f"transfer fetch {name} (network), or weights=FILE"))
