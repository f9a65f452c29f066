"""Several labels a row."""

from typing import Any

from torch import Tensor, nn

from transfer_cli.contracts import Batch
from transfer_cli.task_contracts import Task
from transfer_cli.tasks._targets import WithTargets


class Multilabel(Task):
    """Any number of the labels `names` a row. Head: a linear layer named "multilabel", one logit a label."""

    head = "multilabel"
    code = ("heads/linear.py",)
    offers = ("labels", "row", "loss")
    outputs = "labels"
    verbs = ("predict", "export", "serve")

    def prepare(self, net: Any) -> None:
        """Gives `net` a head for these labels; rows of labels it already knows by name are kept."""
        net.set_head(self.head, self.names)

    def wrap(self, items: Any, rows: Any) -> WithTargets:
        return WithTargets(items, rows.targets)

    def loss(self, out: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean binary cross-entropy () of logits [B, L] against labels 0 or 1 [B, L]; `smoothing` moves these towards
        one half."""
        truth = batch.target().float() * (1 - smoothing) + smoothing / 2
        return nn.functional.binary_cross_entropy_with_logits(out.float(), truth)
