"""One number from the features of a row, bounded: [B, D] -> [B, 1]."""

from torch import Tensor, nn


class Curve(nn.Module):
    """A linear layer whose answer lies between 0 and `top`."""

    wants = "row"

    def __init__(self, width: int, *, top: int) -> None:
        super().__init__()
        self.layer, self.top = nn.Linear(width, 1), top

    def forward(self, features: Tensor) -> Tensor:
        return self.top * self.layer(features).sigmoid()
