"""Fully connected layers on flattened pixels, or on vectors."""

import itertools

from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.kinds.pictures import InputSpec
from transfer_cli.kinds.vectors import VectorSpec
from transfer_cli.models.backbone import Backbone


class Mlp(Backbone):
    """Flatten, then Linear and ReLU a hidden width. The last width is the feature size. `standardise`: BatchNorm
    without parameters stands in front, for vectors whose columns have scales of their own."""

    def __init__(
        self, input: InputSpec | VectorSpec, *, hidden: tuple[int, ...] = (256, 128), standardise: bool = False
    ) -> None:
        if not hidden or min(hidden) < 1:
            raise ConfigError(Fault("model.hidden", "wants widths of 1 or more, at least one", str(list(hidden))))
        super().__init__(hidden[-1])
        numbers = input.width if isinstance(input, VectorSpec) else input.channels * input.crop**2
        self.standard = nn.BatchNorm1d(numbers, affine=False) if standardise else nn.Identity()
        self.layers = nn.Sequential(*(_layer(m, n) for m, n in itertools.pairwise((numbers, *hidden))))

    def forward(self, **inputs: Tensor) -> Tensor:
        """pixels [B, C, H, W] or vectors [B, D], by name -> features [B, D]."""
        (rows,) = inputs.values()
        features: Tensor = self.layers(self.standard(rows.flatten(1)))
        return features

    def blocks(self) -> list[nn.Module]:
        return list(self.layers)


def _layer(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU())
