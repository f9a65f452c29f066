"""A checked configuration becomes a plan: which method reads which rows, from which net, under which key."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from transfer_cli.config.compose import Config
from transfer_cli.config.signatures import PACKAGE, Signature, signature
from transfer_cli.data.cache import digests
from transfer_cli.data.dataset import DataSet, Part
from transfer_cli.data.open import describe_pair
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.plan import classes, code_hash, demands, inputs, origin
from transfer_cli.plan.episodes import enough_for_episodes
from transfer_cli.plan.plan import Json, Plan, Stage, Stamps, key_of, stamps_of
from transfer_cli.plan.precision import resolved
from transfer_cli.selection_rules import LABEL_FREE

AUGMENT = PACKAGE / "kinds" / "_augmentation.py"
VALIDATORS = PACKAGE / "metrics" / "label_free.py"
# what every stage that reads data runs on, by kind of row: rows, how they reach a net, metrics of validation and test
READERS = {
    "pictures": ("data/dataset.py", "data/cache.py", "data/formats/decode.py", "metrics/classification.py"),
    "texts": ("data/dataset.py", "kinds/texts.py", "metrics/classification.py", "metrics/language.py"),
    "vectors": ("data/dataset.py", "kinds/vectors.py", "metrics/classification.py"),
}
RESERVED = ("method", "seed", "rule", "trainer", "feeds")
Opened = dict[str, tuple[DataSet, DataSet | None, Stamps]]  # by the nodes of data and source


def plan(config: Config, *, runs: Path, opened: Opened | None = None) -> Plan:
    """The plan of one run. Raises ConfigError, DataError or StoreError for what can be known before any training.
    Plans made at one time share the data sets they `opened`."""
    return Planner(config, runs, {} if opened is None else opened).plan()


def bound(slot: str, stream: str, streams: Mapping[str, Any]) -> str:
    """Which data a stream reads: pretrain learns from the source, so a lone stream means the source there."""
    return "source" if slot == "pretrain" and len(streams) == 1 else stream


class Planner:
    def __init__(self, config: Config, runs: Path, opened: Opened) -> None:
        self.config, self.runs, self.opened = config, runs, opened
        self.values: Json = dict(config.values)
        self.plugins = tuple(self.values["plugins"])
        self.cache = runs / ".cache"
        self.seed = int(self.values["seed"])
        self.net: Json = {}
        self.classes: tuple[str, ...] | None = None  # of the net's head, as far as known
        self.open = False  # the last of them stands for all that it does not know
        self.names: tuple[str, ...] = ()  # classes that labels are numbered by in this stage, if not the data's own
        self.last: Stage | None = None
        self.unaligned: Json = {}  # the net before source and target were aligned
        self.weights: Path | None = None
        self.code: set[Path] = set()  # files in any key
        self.fits = False  # the model's input knows its tokenizer or width

    def plan(self) -> Plan:
        model = self.values["model"]
        precision = resolved(model["precision"], self.values["runtime"]["device"])
        self.values["model"] = {**model, "precision": precision}
        self.target, self.source, stamps = self._data_sets()
        self.readers = [PACKAGE / name for name in READERS[self.target.raw.kind]]
        inherited = self._inherited()
        stages = [self._stage(name, inherited) for name in self.values["stages"] if name != "evaluate"]
        if "evaluate" in self.values["stages"]:
            stages.append(self._evaluate())
        watched = stamps | stamps_of([*self.code, *([self.weights] if self.weights else [])])
        return Plan(self.config, self.values, tuple(stages), self.target, self.source, self.weights, watched)

    def _data_sets(self) -> tuple[DataSet, DataSet | None, Stamps]:
        """Target, source and what their files were when they were opened."""
        nodes = json.dumps([self.values[key] for key in ("data", "source", "plugins")], sort_keys=True, default=str)
        if nodes not in self.opened:
            target, source = describe_pair(self.values, self.cache)
            files = [*target.raw.sources, *(source.raw.sources if source else ())]
            self.opened[nodes] = target, source, stamps_of(files)
        return self.opened[nodes]

    def _inherited(self) -> Stage | None:
        """The stage that gives the net, if `weights` names one; else the first that needs a net draws it."""
        word = str(self.values["weights"])
        if word == "none":
            self.net = {"init": self.seed}
            return None
        file = origin.weights_file(word, self.values["model"], self.cache)
        if file is None:
            return self._from_run(word)
        self.weights = file
        digest = digests([file], self.cache)[file]
        spec = {"kind": "given", "weights": digest, "model": self._model(), "code": self._code(extra=origin.READERS)}
        return Stage("pretrain", "given", f"weights {Path(word).name}", spec, key_of(spec))

    def _from_run(self, ref: str) -> Stage:
        results = origin.run_of(self.runs, ref)
        last = origin.last_net(results, ref)
        self.values["model"] = origin.model_of(results, self.values["model"], self.config.words)
        origin.bring_tokenizer(self.values["model"], last["key"], self.runs)
        return Stage(
            "pretrain", "given", f"run {results['id']}", {"kind": "given"}, last["key"], last["rule"], (last["rule"],)
        )

    # one stage
    def _stage(self, name: str, inherited: Stage | None) -> Stage:
        node = self.values[name]
        if node["method"] == "none":
            return Stage(name, "none", "none", {})
        if node["method"] == "given":
            return self._given(name, inherited)
        chosen = signature("method", node["method"], self.plugins)
        chosen = self._asked_for(chosen)
        sides = {s: wants["side"] or bound(_slot(name), s, chosen.streams) for s, wants in chosen.streams.items()}
        called = self.config.choices.get(name, node["method"])
        self._need_source(name, called, sides)
        self._can_learn(name, called, chosen, sides)
        demands.is_taught(name, called, chosen, taught=self.classes is not None or inherited is not None)
        self.names = self._numbered_by(name, called, chosen, sides)
        if set(sides.values()) == {"source", "target"} and "key" in self.net and not self.unaligned:
            self.unaligned = dict(self.net)
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
        self._batches_fit(name, chosen, streams, trainer, seed)
        pictures = self.target.raw.kind == "pictures"
        drawn = any(view != "none" for stream in streams.values() for view in stream["views"])
        guessed = any(rule in LABEL_FREE for rule in rules)
        spec: Json = {
            "kind": "train",
            "method": {k: v for k, v in node.items() if k not in RESERVED or k == "method"},
            "role": name.replace("_", "/") if name[-1].isdigit() else name,
            "net": self.net if "key" in self.net else {"init": seed},
            "model": self._model(),
            "streams": streams,
            "code": self._code(
                method=node["method"],
                sides=sides.values(),
                extra=[*self.readers, *([AUGMENT] if drawn and pictures else []), *([VALIDATORS] if guessed else [])],
            ),
        }
        if chosen.steps:  # a method without steps draws nothing and reads no trainer
            effective = trainer | {"precision": trainer["precision"] or self.values["model"]["precision"]}
            spec |= {"seed": seed, "trainer": effective, "validation": {r: self._held_out(r, seed) for r in rules}}
            if self.values["oracle"] and self._knows_target(chosen, sides):
                spec["oracle"] = self._data("target").key("test", labelled=True, seed=seed)
        rule = self._rule(name, node, ("final", *rules))
        what = f"{self.config.choices.get(name, node['method'])}, " + " + ".join(self._reads(chosen, sides, seed))
        return Stage(name, node["method"], what, spec, key_of(spec), rule, ("final", *rules), seed, self.names)

    def _seed(self, node: Json) -> int:
        return self.seed if node["seed"] in (None, "same") else int(node["seed"])

    def _view(self, chosen: Signature, stream: str, side: str, node: Json, seed: int) -> Json:
        wants, data = chosen.streams[stream], self._data(side)
        batch = node["feeds"].get(stream, {}).get("batch")
        return {
            "side": side,
            "part": wants["part"],
            "data": data.key(wants["part"], labelled=wants["labelled"], seed=seed),
            "classes": list(data.names),
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

    def _asked_for(self, chosen: Signature) -> Signature:
        """Without the optional streams for which there is nothing."""
        kept = {s: w for s, w in chosen.streams.items() if not w["optional"] or self._offers(w["side"] or s, w)}
        return replace(chosen, streams=kept)

    def _offers(self, side: str, wants: Json) -> bool:
        """Whether there is a source, or the run says how many labels of the target there are."""
        if side == "source":
            return self.source is not None
        view = self.target.view
        return not wants["labelled"] or view.shots is not None or view.fraction is not None

    def _rules(self, chosen: Signature, sides: Mapping[str, str]) -> list[str]:
        """Rules that could choose a snapshot: validation labels count as used only where training labels are, and
        target rows without labels where training reads such."""
        labelled = {side for stream, side in sides.items() if chosen.streams[stream]["labelled"]}
        found = [f"{side}_val" for side in ("source", "target") if side in labelled and self._data(side).has("val")]
        unlabelled = {side for stream, side in sides.items() if not chosen.streams[stream]["labelled"]}
        if "target" not in unlabelled or not self._knows(labelled) or not self.target.has("val", labelled=False):
            return found
        return [*found, *(rule for rule, source in LABEL_FREE.items() if not source or "source_val" in found)]

    def _knows(self, labelled: set[str]) -> bool:
        """Whether the net predicts classes in this stage: it learns them, or an earlier stage taught them."""
        return self.target.raw.task == "classify" and (bool(labelled) or self.classes is not None)

    def _knows_target(self, chosen: Signature, sides: Mapping[str, str]) -> bool:
        """Whether the head that this stage trains is one for the target's classes."""
        labelled = [side for stream, side in sides.items() if chosen.streams[stream]["labelled"]]
        return all(self._data(side).names == self._data("target").names for side in labelled)

    def _held_out(self, rule: str, seed: int) -> Json:
        if rule not in LABEL_FREE:
            return self._data(rule.removesuffix("_val")).key("val", labelled=True, seed=seed)
        source = {"source": self._data("source").key("val", labelled=True, seed=seed)} if LABEL_FREE[rule] else {}
        return {"target": self.target.key("val", labelled=False, seed=seed), **source}

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
            self.classes, self.open = self._data(labelled[-1]).names, chosen.classes == "open"

    # checks
    def _data(self, side: str) -> DataSet:
        data = self.source if side == "source" else self.target
        assert data is not None, "checked by _need_source"
        return data.seen_as(self.names)

    def _need_source(self, name: str, method: str, sides: Mapping[str, str]) -> None:
        if "source" in sides.values() and self.source is None:
            do = "source=NAME, weights=..., or strategy=scratch"
            raise DataError(Fault(f"{name}={method}", "needs a source, and source is none", do=do))

    def _batches_fit(self, name: str, chosen: Signature, streams: Json, trainer: Json, seed: int) -> None:
        batches = {s: view.get("batch", trainer["batch"]) for s, view in streams.items()}
        rows = {}
        for s, view in streams.items():
            data = self._data(view["side"])
            rows[s] = len(data.rows(view["part"], labelled=view["labelled"], seed=seed).index), data.title
        demands.batches_fit(name, chosen, batches, rows)

    def _can_learn(self, name: str, method: str, chosen: Signature, sides: Mapping[str, str]) -> None:
        for side in sides.values():
            if (task := self._data(side).raw.task) not in chosen.tasks:
                text = f"cannot learn {task}, and that is the task of {self._data(side).title}"
                raise ConfigError(Fault(name, text, method, do="fine_tune=full or partial"))

    def _numbered_by(self, name: str, method: str, chosen: Signature, sides: Mapping[str, str]) -> tuple[str, ...]:
        """Classes that labels are numbered by, where the method allows source and target to differ; else ()."""
        kinds = {(side, chosen.streams[stream]["labelled"]) for stream, side in sides.items()}
        if not {("source", True), ("target", False)} <= kinds:
            return ()
        assert self.source is not None
        return classes.learned(f"{name}={method}", chosen.classes, self.source, self.target)

    # evaluation
    def _evaluate(self) -> Stage:
        node = self.values["evaluate"]
        predictor, part = node["predictor"], node["part"]
        few_label = predictor["predictor"] != "none"
        if few_label and self.target.raw.task != "classify":
            text = f"scores classes, and the task of {self.target.title} is {self.target.raw.task}"
            raise ConfigError(Fault("predictor", text, predictor["predictor"], do="strategy=fine_tune or partial"))
        self._check_evaluation(node, few_label)
        self.names = () if few_label else classes.scored(self.classes, self.open, self.target)
        target = self._data("target")
        if not target.has(part):
            text, do = f"{target.title} has no labelled {part} rows", "data.val_shots=5, or data.fold=0"
            raise DataError(Fault("evaluate.part", text, part, do=do))
        rules = self.last.rules if self.last else ("final",)
        headline = self.last.rule if self.last else "final"
        # the headline's snapshot is the one that was handed on; the others stand beside it
        nets = {r: {**self.net, "rule": r} for r in rules} if "key" in self.net else {"final": self.net}
        spec: Json = {
            "kind": "evaluate",
            "nets": nets,
            "headline": headline,
            "model": self._model(),
            part: target.key(part, labelled=True, seed=self.seed),
            **({} if part == "test" else {"part": part}),
            "classes": list(target.names),
            "predictor": predictor,
            "code": self._code(sides=["target"], predictor=predictor["predictor"], extra=self.readers),
        }
        if self.unaligned and self.source is not None and not self.names:
            spec["domains"] = self._sides(self.source) | {"before": self.unaligned, "after": nets[headline]}
            spec["code"] = self._code(
                sides=["target", "source"], predictor=predictor["predictor"], extra=[*self.readers, VALIDATORS]
            )
        if few_label:
            spec["support"] = self.target.key("train", labelled=True, seed=self.seed)
        if few_label and node["way"]:
            spec |= {"episodes": {k: node[k] for k in ("way", "shots", "queries", "draws")}, "seed": self.seed}
        count = len(self.target.rows(part, seed=self.seed).index)
        what = f"{self.target.title} {part} {count:,}"
        if self.names:
            what += f", over the net's {len(self.names)} classes"
        if "episodes" in spec:
            what += f", {node['draws']} draws of {node['way']}-way {node['shots']}-shot"
        return Stage(
            "evaluate", predictor["predictor"], what, spec, key_of(spec), headline, tuple(rules), self.seed, self.names
        )

    def _sides(self, source: DataSet) -> Json:
        """Rows of the source that stand beside those that are scored."""
        part: Part = "val" if source.has("val") else "train"
        return {"source": source.key(part, labelled=True, seed=self.seed), "source_part": part}

    def _check_evaluation(self, node: Json, few_label: bool) -> None:
        if not few_label:
            if node["way"]:
                raise ConfigError(
                    Fault("evaluate.way", "episodes need a predictor", str(node["way"]), do="predictor=prototypes")
                )
            return
        if node["way"]:
            enough_for_episodes(self.target, node, self.seed)

    # what enters every key
    def _model(self) -> Json:
        """The model node, its input made to fit the data the first time."""
        if not self.fits:
            model = self.values["model"]
            called = self.config.choices.get("model", model["family"])
            inputs.check_kind(model, called, self.target, self.source, self.plugins)
            made = inputs.fit(model["input"], self.target, self.source, self.seed, self.cache)
            self.values["model"] = {**model, "input": made}
            self.fits = True
        return dict(self.values["model"])

    def _code(
        self, *, method: str = "none", sides: Iterable[str] = (), predictor: str = "none", extra: Iterable[Path] = ()
    ) -> Json:
        """Token hash of the files a stage runs on, and the hub number for those that every stage runs on."""
        names = {("model", str(self.values["model"]["family"])), *(("data", self._family(side)) for side in sides)}
        trained = {pair for pair in (("method", method), ("predictor", predictor)) if pair[1] != "none"}
        features, files = self._closure(names, extra), self._closure(names | trained, extra)
        self.code |= files.keys()
        # what decides features stands alone too: methods and predictors share them
        return {
            "hub": code_hash.ENGINE_VERSION,
            "features": code_hash.hash_of(features),
            "files": code_hash.hash_of(files),
        }

    def _closure(self, names: Iterable[tuple[str, str]], extra: Iterable[Path]) -> dict[Path, str]:
        paths = {*(signature(group, name, self.plugins).path for group, name in names), *extra}
        return code_hash.closure_of(sorted(paths), self.cache)

    def _family(self, side: str) -> str:
        family = str(self.values[side if side == "source" else "data"]["family"])
        return str(self.values["data"]["family"]) if family == "base" else family


def _slot(name: str) -> str:
    return name.rsplit("_", 1)[0] if name[-1].isdigit() else name
