"""Classification: one class per row."""

from typing import Any

from torch import Tensor, nn

from transfer_cli.contracts import Batch
from transfer_cli.errors import DataError, Fault
from transfer_cli.task_contracts import NEW_HEAD, Task


class Classify(Task):
    """Each row has one of the classes `names`. Head: a linear layer named "classify"."""

    head = "classify"
    outputs = "classes"
    code = ("heads/linear.py",)
    offers = ("classes", "row", "loss")
    verbs = ("predict", "explain", "export", "serve")

    def prepare(self, net: Any) -> None:
        """Adds a head for these classes to `net`. If it already has such a head, the weights of classes with the same
        name are kept."""
        net.set_head(self.head, self.names)

    def settle(self, net: Any, title: str) -> None:
        """As for every task. In addition, a head without class names (weights from outside) gets those of this task.
        Raises DataError if the number of its outputs differs."""
        super().settle(net, title)
        if net.classes[self.head] is not None:
            return
        outputs = net.heads[self.head].out_features
        if outputs != len(self.names):
            text = f"the net's head has {outputs} outputs, {title} {len(self.names)} classes"
            raise DataError(Fault("evaluate", text, do=NEW_HEAD))
        net.name_classes(self.head, self.names)

    def loss(self, out: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy () of out [B, C] against integer labels [B]."""
        return nn.functional.cross_entropy(out.float(), batch.target(), label_smoothing=smoothing)
