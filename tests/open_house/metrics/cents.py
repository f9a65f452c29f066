"""How far pitches are apart."""

from torch import Tensor


def cents(octaves: Tensor, truth: Tensor) -> Tensor:
    """Distance [N] of octaves [N, 1] in cents, hundredths of a semitone."""
    return 1200 * (octaves - truth).abs().squeeze(1)
