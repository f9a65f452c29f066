"""No backbone at all: vectors are their own features, for probes and neighbours on features worked out before."""

from typing import Any

import torch
from torch import Tensor, nn

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.kinds.vectors import VectorSpec
from transfer_cli.models.backbone import Backbone


class Identity(Backbone):
    """Hands vectors on. Has no parameters: heads and predictors are all that learns."""

    reads = "vectors"

    def __init__(self, input: Any) -> None:
        if not isinstance(input, VectorSpec):
            raise ConfigError(Fault("model.input", "identity reads vectors; wants a width"))
        super().__init__(input.width)
        self.register_buffer("place", torch.empty(0), persistent=False)  # tells heads the device

    def forward(self, vectors: Tensor) -> Tensor:
        """vectors [B, D] -> [B, D]."""
        return vectors

    def blocks(self) -> list[nn.Module]:
        return []
