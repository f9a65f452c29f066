"""A slot of the chain (pretrain, align, fine_tune ...), its method and the data of its streams."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from transfer_cli.config.signatures import Signature, signature
from transfer_cli.data.dataset import DataSet
from transfer_cli.plan.context import Context
from transfer_cli.plan.plan import Json
from transfer_cli.plan.tasks import PlannedTask, task_of


@dataclass(frozen=True)
class Slot:
    """`called`: the method's name for messages. `sides`: for each stream, whether it reads "source" or "target".
    `names`: the classes by which the labels of both are numbered, if they are not those of the data."""

    name: str
    node: Json
    called: str
    method: Signature
    sides: Mapping[str, str]
    names: tuple[str, ...] = ()

    @property
    def role(self) -> str:
        """The name from which the engine derives seeds: align/2 for the slot align_2."""
        return self.name.replace("_", "/") if self.name[-1].isdigit() else self.name

    @property
    def is_alignment(self) -> bool:
        """Whether the method reads both source and target."""
        return set(self.sides.values()) == {"source", "target"}

    @property
    def teaches(self) -> bool:
        """Whether the method trains the heads of its streams' tasks (`Method.heads`)."""
        return bool(self.method.flags.get("heads", True))

    @property
    def labelled(self) -> list[str]:
        """The data (source, target) of the streams with labels, one entry per stream."""
        return [side for stream, side in self.sides.items() if self.method.streams[stream]["labelled"]]

    @property
    def unlabelled(self) -> list[str]:
        """The data (source, target) of the streams without labels, one entry per stream."""
        return [side for stream, side in self.sides.items() if not self.method.streams[stream]["labelled"]]

    def seed(self, context: Context) -> int:
        """The seed of the stage: its own if set, otherwise that of the run."""
        own = self.node["seed"]
        return context.seed if own in (None, "same") else int(own)

    def data(self, context: Context, side: str) -> DataSet:
        """Source or target, with labels numbered by `names`. Raises DataError if there is no source."""
        return context.data(side, self.names)

    def tasks(self, context: Context, sides: Iterable[str]) -> tuple[PlannedTask, ...]:
        """The tasks of `sides` (source, target), each task once."""
        by_side = {side: task_of(context.values, self.data(context, side)) for side in sides}
        return tuple({task.name: task for task in by_side.values()}.values())


def slot_of(context: Context, name: str) -> Slot:
    """The slot `name`, without optional streams for which the run has no rows. Raises ConfigError if there is no such
    method."""
    node = context.values[name]
    method = _without_absent_streams(context, signature("method", node["method"], context.plugins))
    sides = {s: stream["side"] or _bound(name, s, method.streams) for s, stream in method.streams.items()}
    return Slot(name, node, context.called(name, node["method"]), method, sides)


def _bound(name: str, stream: str, streams: Mapping[str, Any]) -> str:
    """The data that a stream reads: the stream's name, except that the only stream of a pretrain slot reads the
    source."""
    slot = name.rsplit("_", 1)[0] if name[-1].isdigit() else name
    return "source" if slot == "pretrain" and len(streams) == 1 else stream


def _without_absent_streams(context: Context, method: Signature) -> Signature:
    present = {
        name: stream
        for name, stream in method.streams.items()
        if not stream["optional"] or _is_there(context, stream["side"] or name, stream)
    }
    return replace(method, streams=present)


def _is_there(context: Context, side: str, stream: Json) -> bool:
    """Whether the run has rows for an optional stream: a source; or labelled target rows, if their number is set."""
    if side == "source":
        return context.source is not None
    view = context.target.view
    return not stream["labelled"] or view.shots is not None or view.fraction is not None
