"""ResNets for 32x32 images, with the tensor names of akamaster/pytorch_resnet_cifar10."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from transfer_cli.kinds.pictures import InputSpec
from transfer_cli.models.backbone import Backbone

Name = Literal["resnet20", "resnet32", "resnet44", "resnet56", "resnet110"]


class CifarResnet(Backbone):
    """A ResNet of 6n + 2 layers: three stages of 16, 32 and 64 channels, shortcuts without parameters (option A). He et
    al. 2015, arXiv:1512.03385, section 4.2. The features [B, 64] are the channel means of the last stage."""

    classifier = "linear"

    def __init__(self, input: InputSpec, *, name: Name = "resnet20") -> None:
        input.at_least(4, name)
        super().__init__(64)
        blocks = (int(name.removeprefix("resnet")) - 2) // 6
        self.conv1 = nn.Conv2d(input.channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = _stage(16, 16, blocks)
        self.layer2 = _stage(16, 32, blocks)
        self.layer3 = _stage(32, 64, blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, pixels: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(pixels)))
        features: Tensor = self.layer3(self.layer2(self.layer1(x))).mean((2, 3))
        return features

    def blocks(self) -> list[nn.Module]:
        return [nn.ModuleList([self.conv1, self.bn1]), self.layer1, self.layer2, self.layer3]


class Block(nn.Module):
    """Two 3x3 convolutions with a shortcut around them. The map is halved if `inputs` < `outputs`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride = 1 if inputs == outputs else 2
        self.grow = (outputs - inputs) // 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + self.shortcut(x))

    def shortcut(self, x: Tensor) -> Tensor:
        """Takes every second pixel and pads the new channels with zeros on both sides."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.grow, self.grow))


def _stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(Block(inputs, outputs), *(Block(outputs, outputs) for _ in range(blocks - 1)))
