"""Regression: one or several numbers per row."""

from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Range
from transfer_cli.task_contracts import Task, TaskContext
from transfer_cli.tasks._targets import WithTargets


class Regress(Task):
    """Each row has the numbers `names`. Head: a linear layer named "regress", whose outputs have the unit of the data.
    The loss is the squared error, or the Huber loss with `delta` standard deviations (Huber 1964, Ann. Math. Statist.
    35). It is computed in standard deviations of the training rows, so that learning rates do not depend on the
    unit."""

    head = "regress"
    outputs = "numbers"
    code = ("heads/numbers.py",)
    offers = ("numbers", "row", "loss")
    verbs = ("predict", "export", "serve")

    def __init__(
        self,
        context: TaskContext,
        *,
        loss: Literal["squared", "huber"] = "squared",
        delta: Annotated[float, Range(0, above=True)] = 1.0,
    ) -> None:
        super().__init__(context)
        self.kind, self.delta = loss, delta
        self._deviation: Tensor | None = None

    def prepare(self, net: Any) -> None:
        """Adds a head for these numbers to `net`, with the mean and the standard deviation of the training rows. An
        existing head for the same numbers is kept, with its mean and deviation."""
        if net.classes.get(self.head) == list(self.names):
            return
        head = net.add_head(self.head, "numbers", self.names, outputs=len(self.names))
        if self.context.statistics is not None:
            mean, deviation = (torch.from_numpy(x).to(head.mean) for x in self.context.statistics())
            head.mean.copy_(mean)
            head.deviation.copy_(deviation)

    def wrap(self, items: Any, rows: Any) -> WithTargets:
        return WithTargets(items, rows.targets)

    def loss(self, out: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean loss () of out [B, K] against numbers [B, K]."""
        scale = self._scale(out)
        off = (out.float() - batch.target()) / scale
        if self.kind == "huber":
            return nn.functional.huber_loss(off, torch.zeros_like(off), delta=self.delta)
        squared: Tensor = off.square().mean()
        return squared

    def _scale(self, out: Tensor) -> Tensor:
        if self._deviation is None:
            statistics = self.context.statistics() if self.context.statistics is not None else None
            self._deviation = torch.ones(len(self.names)) if statistics is None else torch.from_numpy(statistics[1])
        return self._deviation.to(out.device, torch.float32)
