"""Folders of small pictures for tests."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_pictures(root: Path, classes: tuple[str, ...] = ("cat", "dog"), count: int = 12, side: int = 12) -> Path:
    """root/<class>/<i>.png, grey, drawn by seed 0; classes differ in brightness. Returns root."""
    rng = np.random.default_rng(0)
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 100, (side, side)) + 150 * number / max(1, len(classes) - 1)
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{i:02}.png")
    return root


def cut_short(path: Path, size: int = 60) -> None:
    """Leaves the first bytes of a file."""
    path.write_bytes(path.read_bytes()[:size])
