"""Reads config.json in a folder of pretrained weights (transformers or timm). The file is untrusted: it is read as
plain data, names of code in it are an error, and nothing is executed."""

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
MOST_TOKENS = 512  # the default context window at most; model.input.length sets a longer one
WORD = re.compile(r"[\w./ -]{0,200}")
LEFT_OUT = ("architectures", "_name_or_path", "transformers_version", "dtype", "torch_dtype", "id2label", "label2id")
Json = dict[str, Any]


def folder_of(value: str) -> Path:
    """The folder that `weights=value` names. `hf:ORG/NAME` is a repository of the Hugging Face hub in the hub's cache
    on this machine; if it is not in the cache, the returned folder does not exist."""
    if not value.startswith(HUB):
        return Path(value).expanduser()
    file = hub_file(value.removeprefix(HUB), CONFIG)
    return file.parent if file else Path(value)


def hub_file(repository: str, name: str) -> Path | None:
    """A file of a repository in the hub's cache on this machine, None if it is not there. Uses no network."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repository, name) if REPOSITORY.fullmatch(repository) else None
    return Path(path) if isinstance(path, str) else None


def is_folder_of_weights(value: str) -> bool:
    """Whether `weights=value` names a folder of the transformers library or of timm."""
    return (folder_of(value) / CONFIG).is_file()


def model_of(value: str) -> tuple[str, Json]:
    """The option of the group model and its settings for the net in a folder. Raises StoreError for a configuration
    that cannot be read or is not supported."""
    folder = folder_of(value)
    config = read_config(folder)
    if isinstance(pretrained_cfg := config.get("pretrained_cfg"), dict):
        return "timm", _of_timm(config, pretrained_cfg, value)
    if "num_channels" in config or (folder / preprocessor.FILE).is_file():
        pictures, channels = read_config(folder, preprocessor.FILE), int(config.get("num_channels", 3))
        return "transformers_image", {"config": config, "input": preprocessor.input_of(pictures, channels, value)}
    length = min(MOST_TOKENS, int(config.get("max_position_embeddings") or config.get("n_positions") or MOST_TOKENS))
    return "transformers", {"config": config, "input": {"tokenizer": str(folder), "length": length}}


def _of_timm(config: Json, pretrained_cfg: Json, value: str) -> Json:
    if config.get("model_args"):
        raise StoreError(Fault("weights", f"{CONFIG} builds its net with model_args, which is not supported", value))
    return {"name": str(config.get("architecture")), "input": timm.input_of(pretrained_cfg)}


def read_config(folder: Path, name: str = CONFIG) -> Json:
    """The content of a JSON file in a folder of weights, reduced to numbers, booleans, plain strings, and lists and
    dicts of them. Raises StoreError if it is larger than 1 MB, is no JSON object, or names code."""
    path = folder / name
    try:
        if path.stat().st_size > MOST_BYTES:
            raise StoreError(Fault("weights", f"{name} is larger than {MOST_BYTES:,} bytes", str(folder)))
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise StoreError(Fault("weights", f"{name} cannot be read: {str(error)[:100]}", str(folder))) from None
    if not isinstance(config, dict):
        raise StoreError(Fault("weights", f"{name} is no configuration", str(folder)))
    if "auto_map" in config:
        text = f"{name} names code (auto_map), which is never run"
        raise StoreError(Fault("weights", text, str(folder)))
    plain = {key: _plain(value) for key, value in config.items() if WORD.fullmatch(key) and key not in LEFT_OUT}
    return {key: value for key, value in plain.items() if value is not _plain}


def _plain(value: Any, depth: int = 0) -> Any:
    """The value; for a value that is not allowed, this function itself as a marker."""
    none: Callable[..., Any] = _plain
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if WORD.fullmatch(value) else none
    if depth > 3:
        return none
    if isinstance(value, list):
        return [plain for item in value if (plain := _plain(item, depth + 1)) is not none]
    items = {key: _plain(item, depth + 1) for key, item in value.items() if WORD.fullmatch(key)}
    return {key: item for key, item in items.items() if item is not none}
