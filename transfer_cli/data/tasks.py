"""Tasks: what labels mean. Head, loss and metrics; no state."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from transfer_cli.contracts import Batch
from transfer_cli.metrics.classification import classification


class Classification:
    """One of `classes` a row. Head: a linear layer named "classify"."""

    head = "classify"

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)

    def prepare(self, net: Any) -> None:
        """Gives `net` a head for these classes; rows of classes it already knows by name are kept."""
        net.set_head(self.head, self.classes)

    def loss(self, out: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean cross-entropy () of out [B, C] against integer labels [B]."""
        return nn.functional.cross_entropy(out.float(), batch.target(), label_smoothing=smoothing)

    def weight(self, batch: Batch) -> float:
        return float(len(batch))

    def metrics(self, scores: Tensor, labels: Tensor) -> dict[str, float]:
        """Metrics of scores [N, C]; those of one class are named `f1/<class>`."""
        found = classification(scores, labels)
        return {_renamed(name, self.classes): value for name, value in found.items()}


def _renamed(name: str, classes: Sequence[str]) -> str:
    metric, slash, number = name.partition("/")
    return f"{metric}/{classes[int(number)]}" if slash else metric
