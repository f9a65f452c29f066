"""LeNet as used in the digit benchmarks of domain adaptation."""

from typing import Annotated

from torch import Tensor, nn

from transfer_cli.kinds.pictures import InputSpec
from transfer_cli.models.backbone import Backbone
from transfer_cli.ranges import Range


class Lenet(Backbone):
    """Convolutions of 20 and 50 channels, a linear layer of 500, and a bottleneck of `bottleneck` features with
    BatchNorm (0: no bottleneck). LeCun et al. 1998, Proc. IEEE 86(11). Widths, dropout and bottleneck are those that
    Long et al. 2018 (CDAN, arXiv:1705.10667) and the Transfer-Learning-Library use for MNIST and USPS."""

    def __init__(
        self,
        input: InputSpec,
        *,
        dropout: Annotated[float, Range(0, 1)] = 0.5,
        bottleneck: Annotated[int, Range(0)] = 256,
    ) -> None:
        input.at_least(16, "lenet")
        super().__init__(bottleneck or 500)
        side = ((input.crop - 4) // 2 - 4) // 2
        self.conv1 = nn.Sequential(nn.Conv2d(input.channels, 20, 5), nn.MaxPool2d(2), nn.ReLU())
        self.conv2 = nn.Sequential(nn.Conv2d(20, 50, 5), nn.Dropout2d(dropout), nn.MaxPool2d(2), nn.ReLU())
        self.fc = nn.Sequential(nn.Flatten(), nn.Linear(50 * side**2, 500), nn.ReLU(), nn.Dropout(dropout))
        bottleneck_layers = [nn.Linear(500, bottleneck), nn.BatchNorm1d(bottleneck), nn.ReLU()] if bottleneck else []
        self.bottleneck = nn.Sequential(*bottleneck_layers)

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.bottleneck(self.fc(self.conv2(self.conv1(pixels))))
        return features

    def blocks(self) -> list[nn.Module]:
        parts = [self.conv1, self.conv2, self.fc, self.bottleneck]
        return [part for part in parts if len(part)]
