"""Masked autoencoding: pretraining by predicting the pixels of hidden patches."""

import math
from collections.abc import Iterator
from typing import Annotated

from torch import Tensor, nn

from transfer_cli.contracts import Batch, Loss, MethodInputs, ParamGroup, Progress, Range, Stream
from transfer_cli.losses.masked import hidden_patches, masked_error
from transfer_cli.methods._pretext import Pretext, all_rows

SMALLEST = 4  # side of the decoder's first map


class Mae(Pretext):
    """A small masked autoencoder after He et al. 2021, arXiv:2111.06377. `share` of the patches of `patch` x `patch`
    pixels are hidden, and the loss is the mean squared error over their pixels.

    In the paper a vision transformer encodes only the visible patches, and a smaller transformer decodes them with mask
    tokens. Here any net that reads images encodes the whole image with hidden pixels set to zero (the mean colour), so
    masking saves no time. A small convolutional decoder reconstructs the image from the feature vector, which therefore
    must hold positions. The decoder is not handed on. Raises ConfigError for a net that does not read images."""

    streams = {
        "source": Stream(labelled=False, views=("weak",), optional=True),
        "target": Stream(labelled=False, views=("weak",), side="target"),
    }

    def __init__(
        self,
        given: MethodInputs,
        *,
        patch: Annotated[int, Range(1, 256)] = 4,
        share: Annotated[float, Range(0, 1, above=True)] = 0.75,
        channels: Annotated[int, Range(1, 1024)] = 32,
    ) -> None:
        super().__init__(given)
        self._require_images("mae")
        self.patch, self.share = patch, share
        self.decoder = Decoder(given.net.width, given.net.input.channels, given.net.input.crop, channels)

    def param_groups(self) -> dict[str, ParamGroup]:
        return {"net": [self.net.backbone, self.decoder]}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        pixels = all_rows(batch)["pixels"]
        hidden = hidden_patches(pixels, self.patch, self.share)
        prediction = self.decoder(self.net.features({"pixels": pixels.masked_fill(hidden, 0.0)}))
        yield Loss("net", masked_error(prediction, pixels, hidden))


class Decoder(nn.Module):
    """Features [B, D] -> images [B, C, side, side]: a 4 x 4 map is upsampled by 2 and convolved until it is large
    enough, then cropped."""

    def __init__(self, width: int, colours: int, side: int, channels: int) -> None:
        super().__init__()
        doublings = max(0, math.ceil(math.log2(side / SMALLEST)))
        self.side, self.channels = side, channels
        self.first = nn.Linear(width, channels * SMALLEST**2)
        self.grow = nn.Sequential(*(_upsample(channels) for _ in range(doublings)))
        self.last = nn.Conv2d(channels, colours, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        maps = self.first(features).view(-1, self.channels, SMALLEST, SMALLEST).relu()
        images: Tensor = self.last(self.grow(maps))[..., : self.side, : self.side]
        return images


def _upsample(channels: int) -> nn.Module:
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU())
