"""The preprocessing that inputs of an exported program need, as JSON next to the program."""

from collections.abc import Mapping
from typing import Any

from transfer_cli.data.formats.decode import Fit

Json = dict[str, Any]


def preprocessing(input: Mapping[str, Any], tokenizer: str = "") -> Json:
    """Returns the steps for the `input` of a model node; `tokenizer` is the name of the tokenizer file next to the
    program."""
    if "tokenizer" in input:
        return {
            "reads": "text",
            "tokenizer": tokenizer,
            "most_tokens": int(input["length"]),
            "longer": "cut at its end",
            "padding": "on the right, with token 0 where mask is false",
        }
    if "width" in input:
        return {"reads": "numbers", "width": int(input["width"])}
    fit = Fit.of(input)
    return {
        "reads": "picture",
        "steps": [
            {"turn": "as EXIF says"},
            {"convert": "L" if fit.channels == 1 else "RGB"},
            {"resize": {"shorter_side": fit.size, "interpolation": fit.interpolation, "antialias": True}},
            {"crop": {"centre": [fit.crop, fit.crop]}},
            {"scale": 1 / 255},
            {"normalise": {"mean": list(input["mean"]), "std": list(input["std"])}},
        ],
        "layout": "rows, channels, height, width",
    }
