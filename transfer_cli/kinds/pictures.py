"""Pictures: the input of models, rows on a device, and opening of new pictures."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from PIL import Image

from transfer_cli.data.cache import converted
from transfer_cli.data.formats.decode import SUFFIXES, Fit, decoded, fitted, picture
from transfer_cli.data.placement import placed, sent
from transfer_cli.data.shift import shifted
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.kinds._augmentation import augment
from transfer_cli.kinds._kind import Json, Kind, Named, unlabelled
from transfer_cli.kinds._specs import input_fault, spec_of
from transfer_cli.lazy import Lazy
from transfer_cli.ranges import Range

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from transfer_cli.contracts import DeviceDataset, Inputs
    from transfer_cli.data.dataset import DataSet, Rows
else:
    torch = Lazy("torch")

MOST_PIXELS = 4096
INTERPOLATIONS = ("bilinear", "bicubic")
MOST_CHANNELS = 64


@dataclass(frozen=True, kw_only=True)
class Input:
    """Preprocessing of pictures: scales the shorter side to `size` pixels by `interpolation`, crops the centre to
    `crop` x `crop`, then (x - mean) / std. A single number in `mean` or `std` applies to all three colour channels."""

    channels: Annotated[int, Range(1)]
    size: Annotated[int, Range(1)]
    crop: Annotated[int, Range(1)]
    mean: list[float]
    std: list[Annotated[float, Range(0, above=True)]]
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """The pictures that a model reads: shorter side scaled to `size` by `interpolation`, centre cropped to `crop` x
    `crop`, `channels` values per pixel in [0, 1], then (x - mean) / std. Raises ConfigError for invalid values."""

    channels: int
    size: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        if faults := list(self._faults()):
            raise ConfigError(*faults)

    def _faults(self) -> Iterator[Fault]:
        for name, value, most in (("channels", self.channels, MOST_CHANNELS), ("size", self.size, MOST_PIXELS)):
            if not 1 <= value <= most:
                yield input_fault(name, value, f"allowed 1 to {most}")
        if not 1 <= self.crop <= self.size:
            yield input_fault("crop", self.crop, f"allowed 1 to size, {self.size}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.channels:
                yield input_fault(name, list(values), f"needs one number per channel, {self.channels}")
        if self.interpolation not in INTERPOLATIONS:
            yield input_fault("interpolation", self.interpolation, f"one of {', '.join(INTERPOLATIONS)}")
        if any(value <= 0 for value in self.std):
            yield input_fault("std", list(self.std), "numbers > 0 only")

    def at_least(self, crop: int, who: str) -> None:
        """Raises ConfigError if the pictures are smaller than `crop` pixels, the minimum for the model `who`."""
        if self.crop < crop:
            raise ConfigError(input_fault("crop", self.crop, f"{who} needs {crop} pixels or more"))

    def blank(self, rows: int = 1, device: str = "cpu") -> "Tensor":
        """Zeros [rows, C, crop, crop]."""
        return torch.zeros(rows, self.channels, self.crop, self.crop, device=device)

    def example(self, rows: int = 1) -> "dict[str, Tensor]":
        """Example inputs of a net, all zeros."""
        return {"pixels": self.blank(rows)}


class Pictures(Kind):
    """Rows are uint8 pixels [N, C, crop, crop] in one array; a batch is augmented and normalised as a whole."""

    input = ("crop", "size", "channels", "mean", "std", "interpolation")
    usual = "resnet18"
    noun = "pictures"
    item = "picture"
    one = "file"
    code = ("data/cache.py", "data/formats/decode.py")
    augmentation = "kinds/_augmentation.py"
    media = "image/png"
    explained = "maps"
    looks = "pixels"
    shifts = True

    def completed(self, given: Json) -> Json:
        """Repeats a single `mean` or `std` for each channel, and removes the default `interpolation`, so that keys of
        stages from older versions stay valid."""
        channels = given["channels"]
        repeats = {name: 3 if len(given[name]) == 1 and channels == 3 else 1 for name in ("mean", "std")}
        completed_input = given | {name: given[name] * count for name, count in repeats.items()}
        self.spec(completed_input)
        return {key: value for key, value in completed_input.items() if (key, value) != ("interpolation", "bilinear")}

    def spec(self, given: Mapping[str, Any]) -> InputSpec:
        return spec_of(InputSpec, given)

    def store(
        self, data: "DataSet", part: str, model: Json, cache: Path, device: "torch.device", poll: Callable[[], None]
    ) -> "Tensor":

        pixels = converted(data.raw, part, model["input"], cache, poll=poll)
        if shift := data.view.shifted:
            pixels = shifted(pixels, shift, f"{data.raw.fingerprint} {model['input']}", part, cache)
        return placed(pixels, device)

    def rows(self, stored: Any, data: "DataSet", rows: "Rows", model: Json, device: "torch.device") -> "DeviceDataset":
        return PictureRows(stored, rows, model, policy=data.augment, flip=data.flip, device=device)

    def preprocessing(self, given: Mapping[str, Any], tokenizer: str = "") -> Json:
        fit = Fit.of(given)
        return {
            "reads": self.item,
            "steps": [
                {"turn": "as EXIF says"},
                {"convert": "L" if fit.channels == 1 else "RGB"},
                {"resize": {"shorter_side": fit.size, "interpolation": fit.interpolation, "antialias": True}},
                {"crop": {"centre": [fit.crop, fit.crop]}},
                {"scale": 1 / 255},
                {"normalise": {"mean": list(given["mean"]), "std": list(given["std"])}},
            ],
            "layout": "rows, channels, height, width",
        }

    def at(self, place: Path) -> list[Named]:
        """A picture, all pictures of a folder, or those in the column `path` of a CSV."""
        if not place.exists():
            raise DataError(Fault(str(place), "no such file or folder"))
        paths = [place]
        if place.is_dir():
            paths = sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        elif place.suffix.lower() == ".csv":
            paths = _listed(place)
        if not paths:
            raise DataError(Fault(str(place), "no pictures there", do=f"pictures end in {', '.join(SUFFIXES)}"))
        return [(str(path), path) for path in paths]

    def opened(self, row: Any, model: Json) -> np.ndarray:
        """uint8 [C, crop, crop] of a path, the bytes of a file or a decoded picture: what the net sees of it."""
        if isinstance(row, bytes):
            row = decoded(io.BytesIO(row), "picture")
        image = row if isinstance(row, Image.Image) else picture(row)
        return fitted(image, Fit.of(model["input"]))

    def batch(self, rows: Sequence[np.ndarray], model: Json, cache: Path, device: "torch.device") -> "DeviceDataset":

        # channels may be last in memory, and numpy would keep that order
        pixels = placed(np.ascontiguousarray(np.stack(rows)), device)
        return PictureRows(pixels, unlabelled(len(rows)), model, policy="none", flip=False, device=device)


class PictureRows:
    """Rows of `pixels` [N, C, H, W]. `policy` is the augmentation for the view "train".
    Returns {"pixels": float32 [B, C, H, W]}, (x / 255 - mean) / std, on `device`; channels last if the model needs
    it."""

    noun = "pictures"
    targeted = False
    domains: "Tensor | None" = None
    cut = 0  # pictures are never truncated

    def __init__(
        self, pixels: "Tensor", rows: "Rows", model: dict[str, Any], *, policy: str, flip: bool, device: "torch.device"
    ) -> None:
        self.pixels, self.device = pixels, device
        self.flat = pixels.view(len(pixels), -1)
        self.home = pixels.device
        self.rows = torch.from_numpy(rows.index.astype(np.int64)).to(self.home)
        self.labels = torch.from_numpy(rows.labels.astype(np.int64)).to(device)
        self.policy, self.flip = policy, flip
        spec = model["input"]
        shape = (1, self.pixels.shape[1], 1, 1)
        self.mean = _per_channel(spec["mean"], shape, device) * 255
        self.scale = 1 / (_per_channel(spec["std"], shape, device) * 255)
        self.layout = torch.channels_last if model["channels_last"] else torch.contiguous_format
        # larger chunks of small pictures need little memory and save calls
        self.chunk = 512 if self.pixels.shape[-1] <= 64 else 64

    def __len__(self) -> int:
        return len(self.rows)

    def arranged(self, order: np.ndarray, batch: int, rng: np.random.Generator) -> np.ndarray:
        return order if self.domains is None else evenly(order, self.domains.cpu().numpy())

    def in_order(self) -> "Tensor":
        return torch.arange(len(self), device=self.home)

    def gather(self, index: "Tensor", policy: str, rng: Callable[[], np.random.Generator]) -> "tuple[Inputs, Tensor]":
        chosen = self.flat.index_select(0, self.rows.index_select(0, index))
        pixels = sent(chosen, self.device).view(len(index), *self.pixels.shape[1:])
        policy = self.policy if policy == "train" else policy
        if policy != "none":
            pixels = augment(pixels, policy, rng(), flip=self.flip)
        pixels = pixels.to(torch.float32, memory_format=self.layout)
        labels = self.labels.index_select(0, sent(index, self.device))
        return {"pixels": pixels.sub_(self.mean).mul_(self.scale)}, labels


def _listed(table: Path) -> list[Path]:
    """The paths in the column `path` of a CSV, relative to its folder."""
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or "path" not in rows[0]:
        raise DataError(Fault(str(table), "has no rows with a column path"))
    return [table.parent / row["path"] for row in rows]


def evenly(order: np.ndarray, domains: np.ndarray) -> np.ndarray:
    """Reorders rows [N] so that every part of the order contains about the same share of each domain. Rows of one
    domain keep their order."""
    domain_of_row = domains[order]
    place = np.empty(len(order))
    for domain in np.unique(domain_of_row):
        of_domain = np.flatnonzero(domain_of_row == domain)
        place[of_domain] = (np.arange(len(of_domain)) + 0.5) / len(of_domain)
    return np.asarray(order[np.argsort(place, kind="stable")])


def _per_channel(values: list[float], shape: tuple[int, ...], device: "torch.device") -> "Tensor":
    return torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1).expand(shape)
