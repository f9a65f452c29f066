"""What the stages of a plan are planned with. `Context` never changes; `State` is what one stage hands to the next:
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
    """`values`: the configuration with the model's precision resolved and its input fitted to the data. `inherited`:
    the stage that gives the first net, where `weights` names one; `inherited_heads`: heads that it was taught, None:
    weights from outside, of which the plan cannot know; `weights`: its file, if it is a file."""

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
        """The name that was chosen for a word, as people say it."""
        return self.config.choices.get(word, otherwise)

    def data(self, side: str, names: tuple[str, ...] = ()) -> DataSet:
        """Source or target, labels numbered by `names` if there are any. Raises DataError if there is no source."""
        data = self.source if side == "source" else self.target
        if data is None:
            raise DataError(Fault("source", "is none, and this stage reads it", do="source=NAME"))
        return data.seen_as(names)


@dataclass(frozen=True)
class State:
    """`stages`: what is planned so far; `files`: those whose content is in any key. `net`: where the net is, {"key",
    "rule", "part"} of a stage or {"init": seed}; `last`: the stage that made it. `classes` of its head, as far as
    known; `open`: the last of them stands for all that it does not know. `taught`: heads that a stage taught, None: it
    may be any. `unaligned`: the net before source and target were aligned, empty before."""

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
        """Whether an earlier stage made the net; else the first stage that needs one draws it."""
        return "key" in self.net

    def may_have(self, head: str) -> bool:
        """Whether a stage taught the net this head, or may have."""
        return self.taught is None or head in self.taught

    def with_stage(self, stage: Stage, files: frozenset[Path] = frozenset()) -> "State":
        """The state with one stage more, whose key names the content of `files`."""
        return replace(self, stages=(*self.stages, stage), files=self.files | files)

    def handing_on(self, stage: Stage) -> "State":
        """The state in which `stage` has made the net."""
        return replace(self, last=stage, net={"key": stage.key, "rule": stage.rule, "part": "net"})
