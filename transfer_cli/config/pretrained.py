"""What a folder of ready weights says of its net: config.json of the transformers library, or timm's, read as plain
data. It is somebody else's file: names of code in it are refused, and nothing of it is executed."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transfer_cli.config import preprocessor, timm
from transfer_cli.errors import Fault, StoreError

CONFIG = "config.json"
HUB = "hf:"
REPOSITORY = re.compile(r"[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}")
MOST_BYTES = 2**20
MOST_TOKENS = 512  # a longer window is asked for by model.input.length
WORD = re.compile(r"[\w./ -]{0,200}")
LEFT_OUT = ("architectures", "_name_or_path", "transformers_version", "dtype", "torch_dtype", "id2label", "label2id")
Json = dict[str, Any]


def folder_of(value: str) -> Path:
    """The folder that `weights=value` means. `hf:ORG/NAME` is a repository of the Hugging Face hub, as it lies in the
    hub's cache on this machine; one that is not here is a folder that does not exist."""
    if not value.startswith(HUB):
        return Path(value).expanduser()
    file = hub_file(value.removeprefix(HUB), CONFIG)
    return file.parent if file else Path(value)


def hub_file(repository: str, name: str) -> Path | None:
    """A file of a repository of the hub where it lies on this machine. Uses no network."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, name) if REPOSITORY.fullmatch(repository) else None
    return Path(found) if isinstance(found, str) else None


def is_folder_of_weights(value: str) -> bool:
    """Whether `weights=value` is a folder of the transformers library or of timm."""
    return (folder_of(value) / CONFIG).is_file()


def model_of(value: str) -> tuple[str, Json]:
    """Option of the group model, and its settings, for the net in a folder. Raises StoreError for what is no plain
    configuration."""
    folder = folder_of(value)
    config = read_config(folder)
    if isinstance(said := config.get("pretrained_cfg"), dict):
        return "timm", _of_timm(config, said, value)
    if "num_channels" in config or (folder / preprocessor.FILE).is_file():
        said, channels = read_config(folder, preprocessor.FILE), int(config.get("num_channels", 3))
        return "transformers_image", {"config": config, "input": preprocessor.input_of(said, channels, value)}
    length = min(MOST_TOKENS, int(config.get("max_position_embeddings") or config.get("n_positions") or MOST_TOKENS))
    return "transformers", {"config": config, "input": {"tokenizer": str(folder), "length": length}}


def _of_timm(config: Json, said: Json, value: str) -> Json:
    if config.get("model_args"):
        raise StoreError(Fault("weights", f"{CONFIG} builds its net with model_args, which is not supported", value))
    return {"name": str(config.get("architecture")), "input": timm.input_of(said)}


def read_config(folder: Path, name: str = CONFIG) -> Json:
    """A JSON file of a folder of weights: numbers, truth values, plain words, and lists and dicts of them. Raises
    StoreError where it is larger than 1 MB, no JSON, or asks for code."""
    path = folder / name
    try:
        if path.stat().st_size > MOST_BYTES:
            raise StoreError(Fault("weights", f"{name} is larger than {MOST_BYTES:,} bytes", str(folder)))
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(Fault("weights", f"{name} cannot be read: {str(error)[:100]}", str(folder))) from None
    if not isinstance(found, dict):
        raise StoreError(Fault("weights", f"{name} is no configuration", str(folder)))
    if "auto_map" in found:
        text = f"{name} asks for code of its own (auto_map), which is never run"
        raise StoreError(Fault("weights", text, str(folder)))
    plain = {key: _plain(value) for key, value in found.items() if WORD.fullmatch(key) and key not in LEFT_OUT}
    return {key: value for key, value in plain.items() if value is not _plain}


def _plain(value: Any, depth: int = 0) -> Any:
    """The value, or this function for one that is none."""
    none: Callable[..., Any] = _plain
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if WORD.fullmatch(value) else none
    if depth > 3:
        return none
    if isinstance(value, list):
        return [made for item in value if (made := _plain(item, depth + 1)) is not none]
    made = {key: _plain(item, depth + 1) for key, item in value.items() if WORD.fullmatch(key)}
    return {key: item for key, item in made.items() if item is not none}
