"""The inputs of planning a stage. `Context` is the same for all stages; `State` is passed from one stage to the next:
planning is a fold over stages, `state = plan_stage(context, state, name)`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from transfer_cli.config.compose import Config
from transfer_cli.data.dataset import DataSet
from transfer_cli.errors import DataError, Fault
from transfer_cli.plan.plan import Json, Stage


@dataclass(frozen=True)
class Context:
    """`values`: the configuration, with the model's precision resolved and its input fitted to the data. `inherited`:
    the stage that provides the initial net, if `weights` names one. `inherited_heads`: its trained heads; None if the
    plan cannot know them, because the weights come from outside. `weights`: its file, if `weights` names a file."""

    config: Config
    values: Json
    target: DataSet
    source: DataSet | None
    runs: Path
    inherited: Stage | None = None
    inherited_heads: frozenset[str] | None = None
    weights: Path | None = None

    @property
    def cache(self) -> Path:
        """The folder of caches: features, converted data, tokenizers, hashes."""
        return self.runs / ".cache"

    @property
    def plugins(self) -> tuple[str, ...]:
        return tuple(self.values["plugins"])

    @property
    def seed(self) -> int:
        return int(self.values["seed"])

    @property
    def model(self) -> Json:
        return dict(self.values["model"])

    def called(self, word: str, otherwise: str) -> str:
        """The name that the user chose for a word, for messages; `otherwise` if the user chose none."""
        return self.config.choices.get(word, otherwise)

    def data(self, side: str, names: tuple[str, ...] = ()) -> DataSet:
        """Source or target. Labels are numbered by `names`, if given. Raises DataError if there is no source."""
        data = self.source if side == "source" else self.target
        if data is None:
            raise DataError(Fault("source", "is none, and this stage reads it", do="source=NAME"))
        return data.seen_as(names)


@dataclass(frozen=True)
class State:
    """`stages`: the stages planned so far. `files`: the files whose content is part of a key. `net`: a reference to the
    current net, {"key", "rule", "part"} of a stage or {"init": seed}; `last`: the stage that produced it. `classes`:
    the classes of its head, if known; `open`: the last class contains all classes that the net does not know. `taught`:
    the heads that stages have trained, None if unknown. `unaligned`: a reference to the net before the alignment of
    source and target, empty before an alignment."""

    net: Json
    stages: tuple[Stage, ...] = ()
    files: frozenset[Path] = frozenset()
    last: Stage | None = None
    classes: tuple[str, ...] | None = None
    open: bool = False
    taught: frozenset[str] | None = frozenset()
    unaligned: Mapping[str, object] = field(default_factory=dict)

    @property
    def has_net(self) -> bool:
        """Whether an earlier stage produced the net; otherwise the first stage that needs one initialises it."""
        return "key" in self.net

    def may_have(self, head: str) -> bool:
        """Whether a stage has trained this head, or may have trained it."""
        return self.taught is None or head in self.taught

    def with_stage(self, stage: Stage, files: frozenset[Path] = frozenset()) -> "State":
        """The state with one more stage, whose key depends on the content of `files`."""
        return replace(self, stages=(*self.stages, stage), files=self.files | files)

    def handing_on(self, stage: Stage) -> "State":
        """The state after `stage` has produced the current net."""
        return replace(self, last=stage, net={"key": stage.key, "rule": stage.rule, "part": "net"})
