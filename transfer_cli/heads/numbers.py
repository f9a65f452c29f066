"""Numbers from the features of a row: a linear layer in units of the data, [B, D] -> [B, outputs]."""

import torch
from torch import Tensor, nn


class Numbers(nn.Linear):
    """The layer answers in standard deviations from the mean; `mean` and `deviation` [outputs], those of the training
    rows, turn that into the unit of the data. They are buffers, so they travel with the net. A fresh head answers near
    the mean."""

    wants = "row"
    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, *, outputs: int) -> None:
        super().__init__(width, outputs)
        self.register_buffer("mean", torch.zeros(outputs))
        self.register_buffer("deviation", torch.ones(outputs))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * self.deviation + self.mean
