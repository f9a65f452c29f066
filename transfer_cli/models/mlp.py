"""Fully connected layers on flattened pixels or on vectors."""

import itertools

from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.kinds.pictures import InputSpec
from transfer_cli.kinds.vectors import VectorSpec
from transfer_cli.models.backbone import Backbone


class Mlp(Backbone):
    """Flattens the input, then applies Linear and ReLU for each hidden width. The last width is the number of features.
    `standardise`: puts a BatchNorm without parameters first, for vectors whose columns differ in scale."""

    def __init__(
        self, input: InputSpec | VectorSpec, *, hidden: tuple[int, ...] = (256, 128), standardise: bool = False
    ) -> None:
        if not hidden or min(hidden) < 1:
            raise ConfigError(Fault("model.hidden", "needs at least one width, each 1 or more", str(list(hidden))))
        super().__init__(hidden[-1])
        numbers = input.width if isinstance(input, VectorSpec) else input.channels * input.crop**2
        self.standard = nn.BatchNorm1d(numbers, affine=False) if standardise else nn.Identity()
        self.layers = nn.Sequential(*(_layer(m, n) for m, n in itertools.pairwise((numbers, *hidden))))

    def forward(self, **inputs: Tensor) -> Tensor:
        """Takes pixels [B, C, H, W] or vectors [B, D] by name and returns features [B, D]."""
        (rows,) = inputs.values()
        features: Tensor = self.layers(self.standard(rows.flatten(1)))
        return features

    def blocks(self) -> list[nn.Module]:
        return list(self.layers)


def _layer(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.ReLU())
