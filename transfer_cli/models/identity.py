"""No backbone: each vector is its own feature vector, for probes and nearest neighbours on precomputed features."""

from typing import Any

import torch
from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.kinds.vectors import VectorSpec
from transfer_cli.models.backbone import Backbone


class Identity(Backbone):
    """Returns its input vectors unchanged. It has no parameters, so only heads and predictors learn."""

    reads = "vectors"

    def __init__(self, input: Any) -> None:
        if not isinstance(input, VectorSpec):
            raise ConfigError(Fault("model.input", "identity reads vectors and needs a width"))
        super().__init__(input.width)
        self.register_buffer("place", torch.empty(0), persistent=False)  # the device, for heads

    def forward(self, vectors: Tensor) -> Tensor:
        """vectors [B, D] -> [B, D]."""
        return vectors

    def blocks(self) -> list[nn.Module]:
        return []
