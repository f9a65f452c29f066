"""Multilabel classification: several labels per row."""

from typing import Any

from torch import Tensor, nn

from transfer_cli.contracts import Batch
from transfer_cli.task_contracts import Task
from transfer_cli.tasks._targets import WithTargets


class Multilabel(Task):
    """Each row has any number of the labels `names`. Head: a linear layer named "multilabel", one logit per label."""

    head = "multilabel"
    outputs = "labels"
    code = ("heads/linear.py",)
    offers = ("labels", "row", "loss")
    verbs = ("predict", "export", "serve")

    def prepare(self, net: Any) -> None:
        """Adds a head for these labels to `net`. If it already has such a head, the weights of labels with the same
        name are kept."""
        net.set_head(self.head, self.names)

    def wrap(self, items: Any, rows: Any) -> WithTargets:
        return WithTargets(items, rows.targets)

    def loss(self, out: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean binary cross-entropy () of logits [B, L] against labels [B, L], 0 or 1; `smoothing` moves the labels
        towards one half."""
        truth = batch.target().float() * (1 - smoothing) + smoothing / 2
        return nn.functional.binary_cross_entropy_with_logits(out.float(), truth)
