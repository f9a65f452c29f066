"""Classification: one class per row."""

from typing import Any

from torch import Tensor, nn

from transfer_cli.contracts import Batch
from transfer_cli.errors import DataError, Fault
from transfer_cli.task_contracts import Task

NEW_HEAD = "strategy=linear_probe or fine_tune gives it a new head"


class Classify(Task):
    """Each row has one of the classes `names`. Head: a linear layer named "classify"."""

    head = "classify"
    code = ("heads/linear.py",)
    offers = ("classes", "row", "loss")
    verbs = ("predict", "explain", "export", "serve")

    def prepare(self, net: Any) -> None:
        """Adds a head for these classes to `net`. If it already has such a head, the weights of classes with the same
        name are kept."""
        net.set_head(self.head, self.names)

    def settle(self, net: Any, title: str) -> None:
        """Checks, before scoring, that the net's head has these classes. A head without class names (weights from
        outside) gets them, if the number of outputs agrees. Raises DataError for other classes; `title`: the name of
        the data in messages."""
        super().settle(net, title)
        known, outputs = net.classes[self.head], net.heads[self.head].out_features
        if known is None and outputs == len(self.names):
            net.name_classes(self.head, self.names)
        elif known is None:
            text = f"the net's head has {outputs} outputs, {title} {len(self.names)} classes"
            raise DataError(Fault("evaluate", text, do=NEW_HEAD))
        elif tuple(known) != self.names:
            shared = len(set(known) & set(self.names))
            text = f"the net has {len(known)} classes, {title} has {len(self.names)}, {shared} shared"
            raise DataError(Fault("evaluate", text, do=NEW_HEAD))

    def loss(self, out: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy () of out [B, C] against integer labels [B]."""
        return nn.functional.cross_entropy(out.float(), batch.target(), label_smoothing=smoothing)
