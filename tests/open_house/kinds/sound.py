"""Sounds: the waveforms that models read, their rows on a device, and how .wav files are opened."""

import io
import wave
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from transfer_cli.data.placement import placed, sent
from transfer_cli.errors import DataError, Fault
from transfer_cli.kinds._kind import Json, Kind, Named, unlabelled
from transfer_cli.kinds._specs import spec_of
from transfer_cli.lazy import Lazy
from transfer_cli.ranges import Range

torch: Any = Lazy("torch")
LOUDNESS = {"weak": 0.1, "strong": 0.5}  # largest relative change of loudness


@dataclass(frozen=True, kw_only=True)
class Input:
    """What sounds become: `samples` values at `rate` a second."""

    rate: Annotated[int, Range(1)]
    samples: Annotated[int, Range(1)]


@dataclass(frozen=True, kw_only=True)
class SoundSpec:
    """The sounds that a model reads."""

    rate: int
    samples: int

    def example(self, rows: int = 1) -> dict[str, Any]:
        """Silence."""
        return {"waveform": torch.zeros(rows, self.samples)}


class Sound(Kind):
    """All waveforms of a part are one float32 matrix."""

    input = ("rate", "samples")
    usual = "ears"
    noun = "sounds"
    one = "sound"
    media = "audio/wav"

    def spec(self, given: Mapping[str, Any]) -> SoundSpec:
        return spec_of(SoundSpec, given)

    def store(self, data: Any, part: str, model: Json, cache: Path, device: Any, poll: Callable[[], None]) -> Any:
        rows = data.raw.parts[part].read()
        return placed(np.stack([_cut(row, model["input"]["samples"]) for row in rows]), device)

    def rows(self, stored: Any, data: Any, rows: Any, model: Json, device: Any) -> "SoundRows":
        return SoundRows(stored, rows, data.augment, device)

    def at(self, place: Path) -> list[Named]:
        """A .wav file, or those of a folder."""
        files = sorted(place.glob("*.wav")) if place.is_dir() else [place]
        if not files or not all(file.is_file() for file in files):
            raise DataError(Fault(str(place), "no .wav file"))
        return [(file.name, file) for file in files]

    def opened(self, row: Path | bytes, model: Json) -> np.ndarray:
        """float32 [samples] in -1 to 1: the first channel of a file of 16 bits a value."""
        try:
            with wave.open(io.BytesIO(row) if isinstance(row, bytes) else str(row)) as sound:
                rate, width, channels = sound.getframerate(), sound.getsampwidth(), sound.getnchannels()
                data = sound.readframes(sound.getnframes())
        except (OSError, EOFError, wave.Error) as error:
            raise DataError(Fault("sound", f"cannot be read: {error}")) from None
        if (rate, width) != (model["input"]["rate"], 2):
            text = f"has {rate:,} values a second of {8 * width} bits, the net reads {model['input']['rate']:,} of 16"
            raise DataError(Fault("sound", text))
        return _cut(np.frombuffer(data, "<i2")[::channels].astype(np.float32) / 2**15, model["input"]["samples"])

    def batch(self, rows: Sequence[np.ndarray], model: Json, cache: Path, device: Any) -> "SoundRows":
        return SoundRows(torch.from_numpy(np.stack(rows)).to(device), unlabelled(len(rows)), "none", device)


def _cut(row: np.ndarray, samples: int) -> np.ndarray:
    """A waveform of exactly `samples` values: cut at its end, or silent there."""
    return np.pad(row[:samples], (0, max(0, samples - len(row)))).astype(np.float32)


class SoundRows:
    """Gives {"waveform": float32 [B, T]}; the policies weak and strong change the loudness."""

    noun = "sounds"
    targeted = False
    domains = None
    chunk = 256
    cut = 0

    def __init__(self, waves: Any, rows: Any, policy: str, device: Any) -> None:
        self.waves = waves.index_select(0, torch.from_numpy(rows.index.astype(np.int64)).to(waves.device))
        self.labels = torch.from_numpy(rows.labels.astype(np.int64)).to(device)
        self.policy, self.device, self.home = policy, device, waves.device

    def __len__(self) -> int:
        return len(self.labels)

    def arranged(self, order: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
        return order

    def in_order(self) -> Any:
        return torch.arange(len(self), device=self.home)

    def gather(self, index: Any, policy: str, rng: Callable[[], np.random.Generator]) -> tuple[dict[str, Any], Any]:
        waves = sent(self.waves.index_select(0, index), self.device)
        policy = self.policy if policy == "train" else policy
        if policy != "none":
            draws = torch.from_numpy(rng().uniform(-1, 1, (len(index), 1)).astype(np.float32))
            waves = waves * (1 + LOUDNESS[policy] * sent(draws, self.device))
        return {"waveform": waves}, self.labels.index_select(0, sent(index, self.device))
