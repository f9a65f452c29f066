"""One convolution over a waveform."""

from typing import Any

from torch import Tensor, nn

from transfer_cli.models.backbone import Backbone


class Ears(Backbone):
    """Loudness behind `features` filters: waveform [B, T] -> [B, features]."""

    reads = "sound"

    def __init__(self, input: Any, *, features: int = 8) -> None:
        super().__init__(features)
        self.filters = nn.Conv1d(1, features, min(16, input.samples))

    def forward(self, waveform: Tensor) -> Tensor:
        return self.filters(waveform[:, None]).square().mean(2)

    def blocks(self) -> list[nn.Module]:
        return [self.filters]
