"""Conv-4, the standard small network of few-shot learning."""

from typing import Annotated

from torch import Tensor, nn

from transfer_cli.kinds.pictures import InputSpec
from transfer_cli.models.backbone import Backbone
from transfer_cli.ranges import Range


class Conv4(Backbone):
    """Four blocks of 3x3 convolution, BatchNorm, ReLU and 2x2 max pooling. Vinyals et al. 2016, arXiv:1606.04080,
    section 4.1.1. The features are the flattened last map, filters * (crop // 16)**2 numbers."""

    def __init__(self, input: InputSpec, *, filters: Annotated[int, Range(1, 4096)] = 64) -> None:
        input.at_least(16, "conv4")
        super().__init__(filters * (input.crop // 16) ** 2)
        inputs = (input.channels, filters, filters, filters)
        self.layers = nn.Sequential(*(_layer(n, filters) for n in inputs))

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.layers(pixels).flatten(1)
        return features

    def blocks(self) -> list[nn.Module]:
        return list(self.layers)


def _layer(inputs: int, filters: int) -> nn.Module:
    conv = nn.Conv2d(inputs, filters, 3, padding=1)
    return nn.Sequential(conv, nn.BatchNorm2d(filters), nn.ReLU(), nn.MaxPool2d(2))
