"""Tones of a drawn pitch, computed, not stored."""

from pathlib import Path

import numpy as np

from transfer_cli.data.contracts import Places, Raw, RawPart, numbered

RATE, SAMPLES = 2000, 200


class Tones:
    """Sine waves; what there is to learn of each is its pitch in octaves above 100 Hz."""

    def __init__(self, *, rows: int = 80) -> None:
        self.rows = rows

    def open(self, places: Places) -> Raw:
        octaves = np.random.default_rng(0).uniform(0, 2, (self.rows, 1)).astype(np.float32)
        part = RawPart(
            np.zeros(self.rows, np.int64), numbered("tones", "all"), rows=lambda: waves(octaves), targets=octaves
        )
        return Raw(
            "tones", ("tone",), {"train": part}, (Path(__file__),), flip=False, kind="sound", task="pitch",
            targets=("octaves",), test_fraction=0.25,
        )  # fmt: skip


def waves(octaves: np.ndarray) -> np.ndarray:
    """float32 [N, T] of octaves [N, 1]"""
    seconds = np.arange(SAMPLES, dtype=np.float32) / RATE
    return np.sin(2 * np.pi * 100 * 2**octaves * seconds).astype(np.float32)
