"""The pitch of a sound."""

from typing import Annotated, Any

from torch import Tensor

from transfer_cli.contracts import Batch, Range
from transfer_cli.task_contracts import Task, TaskContext
from transfer_cli.tasks._targets import WithTargets


class Pitch(Task):
    """Octaves above the lowest tone, at most `top`. Loss: squared error in octaves."""

    head = "pitch"
    code = ("heads/curve.py",)
    offers = ("loss",)
    reads = ("sound",)
    verbs = ("predict",)

    def __init__(self, context: TaskContext, *, top: Annotated[int, Range(1)] = 3) -> None:
        super().__init__(context)
        self.top = top

    def prepare(self, net: Any) -> None:
        if self.head not in net.heads:
            net.add_head(self.head, "curve", self.names, top=self.top)

    def wrap(self, items: Any, rows: Any) -> WithTargets:
        return WithTargets(items, rows.targets)

    def loss(self, out: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        return (out.float() - batch.target()).square().mean()
