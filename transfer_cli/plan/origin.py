"""The initial net: resolves `weights=`, which names a file (such as imagenet) or a run."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from transfer_cli.config import timm
from transfer_cli.config.pretrained import HUB, folder_of, hub_file, is_folder_of_weights
from transfer_cli.data.fetch.datasets import imagenet_file
from transfer_cli.data.tokenizers import LEARNED, restore
from transfer_cli.errors import ConfigError, Fault, StoreError
from transfer_cli.rundir.runs import find, summary
from transfer_cli.safe import safe
from transfer_cli.store.store import Damaged, Store


def weights_file(word: str, model: dict[str, Any], cache: Path) -> Path | None:
    """The file that `word` names; None if it must name a run. For a folder of the transformers library it is
    model.safetensors. Raises StoreError for other folders, for weights of imagenet or the hub that are not on this
    machine, and for a tokenizer that does not fit; ConfigError if timm publishes no weights."""
    if word == "imagenet" and model["family"] == "timm":
        return _of_timm(str(model["name"]))
    if word == "imagenet":
        return imagenet_file(model, cache)
    path = folder_of(word)
    if is_folder_of_weights(word):
        _own_tokens(model.get("input") or {})
        return _of_folder(path)
    if word.startswith(HUB):
        raise _not_downloaded(word.removeprefix(HUB), word)
    if path.is_dir() and not (path / "results.json").is_file():
        raise StoreError(Fault("weights", "is a folder; name a .safetensors, .pth, .th or .pt file", safe(word)))
    return path if path.is_file() else None


def _own_tokens(spec: dict[str, Any]) -> None:
    """Raises StoreError if the tokenizer is learned from the data: the embeddings of pretrained weights belong to the
    tokens of their own tokenizer."""
    if (kind := spec.get("tokenizer")) in LEARNED and not spec.get("digest"):
        text = "is learned from your texts, and the weights have a tokenizer of their own"
        do = "take the tokenizer of the weights' folder"
        raise StoreError(Fault("model.input.tokenizer", text, str(kind), do=do))


def _of_timm(name: str) -> Path:
    """The file of the weights that timm publishes for a net, in the hub's cache on this machine."""
    try:
        repository = timm.published(name).repository
    except KeyError:
        repository = None
    if repository is None:
        raise ConfigError(Fault("weights", f"timm publishes no weights of {name} on the hub", "imagenet"))
    file = hub_file(repository, "model.safetensors")
    if file is None:
        raise _not_downloaded(repository, "imagenet")
    return file


def _not_downloaded(repository: str, word: str) -> StoreError:
    do = f"transfer fetch hf:{repository} (network), or weights=FILE"
    return StoreError(Fault("weights", f"{repository} is not in the hub's cache on this machine", safe(word), do=do))


def _of_folder(folder: Path) -> Path:
    """The file of tensors in a folder of the transformers library. Raises StoreError if there is none or several."""
    file = folder / "model.safetensors"
    if file.is_file():
        return file
    if (folder / "model.safetensors.index.json").is_file():
        text = "its tensors are in several files; only a single model.safetensors is read"
    else:
        text = "has a config.json and no model.safetensors"
    raise StoreError(Fault("weights", text, safe(str(folder))))


def run_of(runs: Path, ref: str) -> dict[str, Any]:
    """The content of results.json of the run that `ref` names. Raises ConfigError if it names no run or several, and
    StoreError if it looks like a path."""
    looks_like_file = "/" in ref or Path(ref).suffix in (".pth", ".th", ".pt", ".safetensors")
    if looks_like_file and not (Path(ref) / "results.json").is_file():
        raise StoreError(Fault("weights", "no such file", safe(ref)))
    try:
        matches = find(runs, ref)
    except ConfigError as error:
        (fault,) = error.faults
        text = f"no such file, and no such run ({fault.text})"
        raise ConfigError(Fault("weights", text, safe(ref), nearest=fault.nearest)) from None
    if len(matches) != 1:
        raise ConfigError(Fault("weights", f"stands for {len(matches)} runs; name one", safe(ref)))
    return summary(matches[0])


def last_net(results: dict[str, Any], ref: str) -> dict[str, Any]:
    """The last stage of a run that has produced a net. Raises ConfigError if there is none."""
    stages = [stage for stage in results["stages"] if stage["key"] and stage["name"] != "evaluate"]
    if not stages:
        raise ConfigError(
            Fault("weights", f"run {safe(results['id'])} is {results['status']} and has no net", safe(ref))
        )
    return dict(stages[-1])


def model_of(results: dict[str, Any], asked: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """The model node of a run's net. The words may change how pictures are preprocessed. Raises StoreError if they
    change the architecture."""
    stored = dict(results["config"]["model"])
    if not any(word.split("=")[0].split(".")[0] == "model" for word in words):
        return stored
    wrong = [key for key in {*_shape(asked), *_shape(stored)} if _shape(asked).get(key) != _shape(stored).get(key)]
    if wrong:
        name = stored.get("name", stored["family"])
        text = f"the net of run {safe(results['id'])} is a {name} with another {', '.join(sorted(wrong))}"
        raise StoreError(Fault("model", text, do=f"leave model out, or say model={name}"))
    learned = {key: stored["input"][key] for key in ("size", "digest") if key in stored["input"]}
    return asked | {"input": asked["input"] | learned}


def _shape(node: dict[str, Any]) -> dict[str, Any]:
    """The settings of a model node on which the shapes of its tensors depend."""
    settings = {key: value for key, value in node.items() if key not in ("input", "precision", "channels_last")}
    of_input = ("channels", "crop", "width", "tokenizer", "length")
    return settings | {f"input.{key}": value for key, value in node["input"].items() if key in of_input}


def bring_tokenizer(model: dict[str, Any], key: str, runs: Path) -> None:
    """Copies the tokenizer that is stored with a net to the cache, from which it may have been removed."""
    if digest := model["input"].get("digest"):
        with suppress(OSError, Damaged):  # the cache may still contain the tokenizer
            restore(Store(runs / ".store", create=False).read(key, "tokenizer.json"), digest, runs / ".cache")
