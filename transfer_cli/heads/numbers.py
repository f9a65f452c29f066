"""A linear layer that predicts numbers in the unit of the data: [B, D] -> [B, outputs]."""

import torch
from torch import Tensor, nn


class Numbers(nn.Linear):
    """A linear layer whose outputs are standard deviations from the mean, converted to the unit of the data with `mean`
    and `deviation` [outputs] of the training rows. Both are buffers, so they are stored with the net. A new head
    predicts values near the mean."""

    wants = "row"
    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, *, outputs: int) -> None:
        super().__init__(width, outputs)
        self.register_buffer("mean", torch.zeros(outputs))
        self.register_buffer("deviation", torch.ones(outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, D] -> numbers [B, outputs] in the unit of the data."""
        return super().forward(features) * self.deviation + self.mean
