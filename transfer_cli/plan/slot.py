"""A slot of the chain (pretrain, align, fine_tune ...) with the method that fills it and the data each stream reads."""

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
    """`called`: the method's name for people. `sides`: whose rows each stream reads. `names`: classes that labels of
    both sides are numbered by, where they are not the data's own."""

    name: str
    node: Json
    called: str
    method: Signature
    sides: Mapping[str, str]
    names: tuple[str, ...] = ()

    @property
    def role(self) -> str:
        """What the engine draws random numbers by: align/2 of align_2."""
        return self.name.replace("_", "/") if self.name[-1].isdigit() else self.name

    @property
    def is_alignment(self) -> bool:
        return set(self.sides.values()) == {"source", "target"}

    @property
    def teaches(self) -> bool:
        """Whether the method teaches heads of its streams' tasks (`Method.heads`)."""
        return bool(self.method.flags.get("heads", True))

    @property
    def labelled(self) -> list[str]:
        """Sides whose labels are learned from, a stream each."""
        return [side for stream, side in self.sides.items() if self.method.streams[stream]["labelled"]]

    @property
    def unlabelled(self) -> list[str]:
        return [side for stream, side in self.sides.items() if not self.method.streams[stream]["labelled"]]

    def seed(self, context: Context) -> int:
        said = self.node["seed"]
        return context.seed if said in (None, "same") else int(said)

    def data(self, context: Context, side: str) -> DataSet:
        return context.data(side, self.names)

    def tasks(self, context: Context, sides: Iterable[str]) -> tuple[PlannedTask, ...]:
        """The tasks of these sides, each once."""
        found = {side: task_of(context.values, self.data(context, side)) for side in sides}
        return tuple({task.name: task for task in found.values()}.values())


def slot_of(context: Context, name: str) -> Slot:
    """The slot called `name`, without optional streams for which there is nothing."""
    node = context.values[name]
    method = _without_absent_streams(context, signature("method", node["method"], context.plugins))
    sides = {s: stream["side"] or _bound(name, s, method.streams) for s, stream in method.streams.items()}
    return Slot(name, node, context.called(name, node["method"]), method, sides)


def _bound(name: str, stream: str, streams: Mapping[str, Any]) -> str:
    """Which data a stream reads: pretrain learns from the source, so a lone stream means the source there."""
    slot = name.rsplit("_", 1)[0] if name[-1].isdigit() else name
    return "source" if slot == "pretrain" and len(streams) == 1 else stream


def _without_absent_streams(context: Context, method: Signature) -> Signature:
    kept = {
        name: stream
        for name, stream in method.streams.items()
        if not stream["optional"] or _is_there(context, stream["side"] or name, stream)
    }
    return replace(method, streams=kept)


def _is_there(context: Context, side: str, stream: Json) -> bool:
    """Whether there is a source, or the run says how many labels of the target there are."""
    if side == "source":
        return context.source is not None
    view = context.target.view
    return not stream["labelled"] or view.shots is not None or view.fraction is not None
