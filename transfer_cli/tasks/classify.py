"""Classification: one class a row."""

from typing import Any

from torch import Tensor, nn

from transfer_cli.contracts import Batch
from transfer_cli.errors import DataError, Fault
from transfer_cli.task_contracts import NEW_HEAD, Task


class Classify(Task):
    """One of the classes `names` a row. Head: a linear layer named "classify"."""

    head = "classify"
    code = ("heads/linear.py",)
    offers = ("classes", "row", "loss")
    outputs = "classes"
    verbs = ("predict", "explain", "export", "serve")

    def prepare(self, net: Any) -> None:
        """Gives `net` a head for these classes; rows of classes it already knows by name are kept."""
        net.set_head(self.head, self.names)

    def settle(self, net: Any, title: str) -> None:
        """Makes sure the net's head speaks of these classes: one whose outputs have no names (someone's weights) takes
        them, if it has as many. Raises DataError for other classes; `title` is what has them."""
        super().settle(net, title)
        known, outputs = net.classes[self.head], net.heads[self.head].out_features
        if known is None and outputs == len(self.names):
            net.name_classes(self.head, self.names)
        elif known is None:
            text = f"the net's head has {outputs} outputs, {title} {len(self.names)} classes"
            raise DataError(Fault("evaluate", text, do=NEW_HEAD))

    def loss(self, out: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy () of out [B, C] against integer labels [B]."""
        return nn.functional.cross_entropy(out.float(), batch.target(), label_smoothing=smoothing)
