"""A method that keeps the weights of a head small."""

from collections.abc import Iterator
from typing import Any

from transfer_cli.contracts import Batch, Loss, Method, MethodInputs, Progress, Stream


class Shrink(Method):
    """Supervised training with a penalty on the head."""

    streams = {"target": Stream()}

    def __init__(self, given: MethodInputs, *, penalty: float = 0.1) -> None:
        super().__init__()
        self.net, self.task, self.penalty = given.net, given.tasks["target"], penalty

    def param_groups(self) -> dict[str, Any]:
        return {"net": [self.net]}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        rows = batch["target"]
        value = self.task.loss(self.task.forward(self.net, rows.inputs), rows)
        size = sum(weight.square().mean() for weight in self.net.heads[self.task.head].parameters())
        yield Loss("net", value + self.penalty * size)
