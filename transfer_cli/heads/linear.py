"""One linear layer on the features of a row: [B, D] -> [B, outputs]."""

from torch import nn


class Linear(nn.Linear):
    """Scores of classes, logits of labels: what the outputs mean is the task's business."""

    wants = "row"

    def __init__(self, width: int, *, outputs: int) -> None:
        super().__init__(width, outputs)
