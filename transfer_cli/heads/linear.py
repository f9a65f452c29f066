"""One linear layer on the features of a row: [B, D] -> [B, outputs]."""

from torch import nn


class Linear(nn.Linear):
    """A linear layer. The task defines the meaning of its outputs, such as scores of classes or logits of labels."""

    wants = "row"

    def __init__(self, width: int, *, outputs: int) -> None:
        super().__init__(width, outputs)
