"""Converts preprocessor_config.json of the transformers library to the `input` of a model."""

from typing import Any

from transfer_cli.errors import Fault, StoreError

FILE = "preprocessor_config.json"
WAYS = {2: "bilinear", 3: "bicubic"}  # PIL's numbers
REFUSED = {"do_flip_channel_order": True, "do_rescale": False, "do_resize": False, "rescale_offset": True}
SMALL = 384  # for smaller sizes, ConvNeXt's processor crops the fraction crop_pct of the resized picture
Json = dict[str, Any]


def input_of(config: Json, channels: int, folder: str) -> Json:
    """The `input` of a net from its preprocessor configuration `config`. Where the processor would resize a picture to
    a square without keeping its aspect ratio, the centre is cropped instead. Raises StoreError for settings that are
    not supported."""
    odd = [f"{key} {config[key]}" for key, value in REFUSED.items() if config.get(key) is value]
    if odd or round(255 * float(config.get("rescale_factor", 1 / 255)), 3) != 1:
        raise _bad(f"asks for {odd[0] if odd else 'pixels in another range'}, which is not supported", folder)
    if config.get("resample", 2) not in WAYS:
        raise _bad(f"resample {config['resample']}: only {', '.join(map(str, WAYS))} are supported", folder)
    size, crop = _sizes(config, folder)
    plain = config.get("do_normalize") is False
    mean, std = ([0.0] * channels, [1.0] * channels) if plain else (config.get("image_mean"), config.get("image_std"))
    if not isinstance(mean, list) or not isinstance(std, list):
        raise _bad("has no image_mean and image_std", folder)
    way = WAYS[config.get("resample", 2)]
    return {"channels": channels, "size": size, "crop": crop, "mean": mean, "std": std, "interpolation": way}


def _sizes(config: Json, folder: str) -> tuple[int, int]:
    """The shorter side after resizing, and the side of the crop, in pixels."""
    size = _side(config.get("size"), folder)
    if config.get("do_center_crop"):
        crop = _side(config.get("crop_size"), folder)
        return max(size, crop), crop
    share = config.get("crop_pct") if size < SMALL else None
    return (int(size / share), size) if isinstance(share, float) and 0 < share <= 1 else (size, size)


def _side(size: Any, folder: str) -> int:
    """The side in pixels, from 224, {"shortest_edge": 224} or {"height": 224, "width": 224}."""
    sides = set(size.values()) if isinstance(size, dict) else {size}
    if len(sides) != 1 or type(side := sides.pop()) is not int:
        raise _bad(f"size {size}: only squares are supported", folder)
    return side


def _bad(text: str, folder: str) -> StoreError:
    return StoreError(Fault("weights", f"{FILE} {text}", folder))
