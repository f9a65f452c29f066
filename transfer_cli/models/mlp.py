"""Fully connected layers on flattened pixels."""

import itertools

from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.models.backbone import Backbone, InputSpec


class Mlp(Backbone):
    """Flatten, then Linear and ReLU a hidden width. The last width is the feature size."""

    def __init__(self, input: InputSpec, *, hidden: tuple[int, ...] = (256, 128)) -> None:
        if not hidden or min(hidden) < 1:
            raise ConfigError(Fault("model.hidden", "wants widths of 1 or more, at least one", str(list(hidden))))
        super().__init__(hidden[-1])
        widths = (input.channels * input.crop**2, *hidden)
        self.layers = nn.Sequential(*(_layer(m, n) for m, n in itertools.pairwise(widths)))

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.layers(pixels.flatten(1))
        return features

    def blocks(self) -> list[nn.Module]:
        return list(self.layers)


def _layer(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU())
