"""Draws a map over the image that the net read, with PIL and numpy."""

import numpy as np
from PIL import Image

MIN_SIDE = 256  # smallest side of the drawing in pixels
# from dark to bright; distinguishable with colour blindness and in greyscale
COLOURS = np.array([[0, 0, 40], [90, 20, 110], [190, 55, 85], [245, 130, 25], [252, 250, 160]], float)


def overlay(picture: np.ndarray, values: np.ndarray, mask: np.ndarray) -> Image.Image:
    """picture uint8 [C, H, W]; values [H, W] are drawn from the smallest (transparent) to the largest; the region
    `mask` [H, W] is outlined."""
    rgb = picture if len(picture) == 3 else np.repeat(picture[:1], 3, 0)
    low, high = float(values.min()), float(values.max())
    share = (values - low) / (high - low) if high > low else np.zeros_like(values)
    heat = np.stack([np.interp(share, np.linspace(0, 1, len(COLOURS)), channel) for channel in COLOURS.T], -1)
    weight = (0.25 + 0.45 * share)[..., None]
    mixed = (1 - weight) * rgb.transpose(1, 2, 0) + weight * heat
    scale = -(-MIN_SIDE // min(values.shape))
    large = np.kron(mixed.round().clip(0, 255).astype(np.uint8), np.ones((scale, scale, 1), np.uint8))
    large[_outline(np.kron(mask, np.ones((scale, scale), bool)))] = 255
    return Image.fromarray(large)


def _outline(mask: np.ndarray) -> np.ndarray:
    """Returns the marked pixels that have an unmarked neighbour or are at the border of the image."""
    framed = np.pad(mask, 1)
    inner = framed[:-2, 1:-1] & framed[2:, 1:-1] & framed[1:-1, :-2] & framed[1:-1, 2:]
    return mask & ~inner
