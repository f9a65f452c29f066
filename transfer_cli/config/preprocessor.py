"""What preprocessor_config.json of the transformers library says of pictures, as a model's `input`."""

from typing import Any

from transfer_cli.errors import Fault, StoreError

FILE = "preprocessor_config.json"
WAYS = {2: "bilinear", 3: "bicubic"}  # PIL's numbers
REFUSED = {"do_flip_channel_order": True, "do_rescale": False, "do_resize": False, "rescale_offset": True}
SMALL = 384  # below it ConvNeXt's processor takes crop_pct of the resized picture
Json = dict[str, Any]


def input_of(said: Json, channels: int, folder: str) -> Json:
    """The `input` of a net whose pictures are prepared so. Where a picture would be squashed to a square, its centre is
    cut. Raises StoreError for what cannot be followed."""
    odd = [f"{key} {said[key]}" for key, value in REFUSED.items() if said.get(key) is value]
    if odd or round(255 * float(said.get("rescale_factor", 1 / 255)), 3) != 1:
        raise _bad(f"asks for {odd[0] if odd else 'pixels in another range'}, which is not supported", folder)
    if said.get("resample", 2) not in WAYS:
        raise _bad(f"resample {said['resample']}: only {', '.join(map(str, WAYS))} are supported", folder)
    size, crop = _sizes(said, folder)
    plain = said.get("do_normalize") is False
    mean, std = ([0.0] * channels, [1.0] * channels) if plain else (said.get("image_mean"), said.get("image_std"))
    if not isinstance(mean, list) or not isinstance(std, list):
        raise _bad("has no image_mean and image_std", folder)
    way = WAYS[said.get("resample", 2)]
    return {"channels": channels, "size": size, "crop": crop, "mean": mean, "std": std, "interpolation": way}


def _sizes(said: Json, folder: str) -> tuple[int, int]:
    """Shorter side after resizing, and side of the crop."""
    size = _side(said.get("size"), folder)
    if said.get("do_center_crop"):
        crop = _side(said.get("crop_size"), folder)
        return max(size, crop), crop
    share = said.get("crop_pct") if size < SMALL else None
    return (int(size / share), size) if isinstance(share, float) and 0 < share <= 1 else (size, size)


def _side(said: Any, folder: str) -> int:
    """224, {"shortest_edge": 224} or {"height": 224, "width": 224}."""
    sides = set(said.values()) if isinstance(said, dict) else {said}
    if len(sides) != 1 or type(side := sides.pop()) is not int:
        raise _bad(f"size {said}: only squares are supported", folder)
    return side


def _bad(text: str, folder: str) -> StoreError:
    return StoreError(Fault("weights", f"{FILE} {text}", folder))
