"""Where a net starts: what `weights=` means, a file (imagenet is one) or a run."""

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
    """The file `word` means, None if it must be a run. Of a folder of the transformers library it is
    model.safetensors. Raises StoreError for other folders or absent weights of imagenet and the hub."""
    if word == "imagenet" and model["family"] == "timm":
        return _of_timm(str(model["name"]))
    if word == "imagenet":
        return imagenet_file(model, cache)
    path = folder_of(word)
    if is_folder_of_weights(word):
        _own_tokens(model.get("input") or {})
        return _of_folder(path)
    if word.startswith(HUB):
        raise _not_here(word.removeprefix(HUB), word)
    if path.is_dir() and not (path / "results.json").is_file():
        raise StoreError(Fault("weights", "is a folder; name a .safetensors, .pth, .th or .pt file", safe(word)))
    return path if path.is_file() else None


def _own_tokens(spec: dict[str, Any]) -> None:
    """The embeddings of others' weights stand for the tokens they were taught with."""
    if (kind := spec.get("tokenizer")) in LEARNED and not spec.get("digest"):
        text = "made from your texts, and the weights know tokens of their own"
        do = "take the tokenizer of the weights' folder"
        raise StoreError(Fault("model.input.tokenizer", text, str(kind), do=do))


def _of_timm(name: str) -> Path:
    """The weights that timm publishes of a net, where they lie in the hub's cache on this machine."""
    try:
        repository = timm.published(name).repository
    except KeyError:
        repository = None
    if repository is None:
        raise ConfigError(Fault("weights", f"timm publishes none of {name} on the hub", "imagenet"))
    found = hub_file(repository, "model.safetensors")
    if found is None:
        raise _not_here(repository, "imagenet")
    return found


def _not_here(repository: str, word: str) -> StoreError:
    do = f"transfer fetch hf:{repository} (network), or weights=FILE"
    return StoreError(Fault("weights", f"{repository} is not in the hub's cache on this machine", safe(word), do=do))


def _of_folder(folder: Path) -> Path:
    """The one file of tensors in a folder of the transformers library."""
    file = folder / "model.safetensors"
    if file.is_file():
        return file
    if (folder / "model.safetensors.index.json").is_file():
        text = "its tensors are in several files; only a single model.safetensors is read"
    else:
        text = "has a config.json and no model.safetensors"
    raise StoreError(Fault("weights", text, safe(str(folder))))


def run_of(runs: Path, ref: str) -> dict[str, Any]:
    """results.json of the one run a reference means. Raises ConfigError, or StoreError for what looks like a file."""
    looks_like_file = "/" in ref or Path(ref).suffix in (".pth", ".th", ".pt", ".safetensors")
    if looks_like_file and not (Path(ref) / "results.json").is_file():
        raise StoreError(Fault("weights", "no such file", safe(ref)))
    try:
        found = find(runs, ref)
    except ConfigError as error:
        (fault,) = error.faults
        text = f"no such file, and no such run ({fault.text})"
        raise ConfigError(Fault("weights", text, safe(ref), nearest=fault.nearest)) from None
    if len(found) != 1:
        raise ConfigError(Fault("weights", f"stands for {len(found)} runs; name one", safe(ref)))
    return summary(found[0])


def last_net(results: dict[str, Any], ref: str) -> dict[str, Any]:
    """The stage of a run whose net is its result. Raises ConfigError if it made none."""
    made = [stage for stage in results["stages"] if stage["key"] and stage["name"] != "evaluate"]
    if not made:
        raise ConfigError(
            Fault("weights", f"run {safe(results['id'])} is {results['status']} and has no net", safe(ref))
        )
    return dict(made[-1])


def model_of(results: dict[str, Any], asked: dict[str, Any], words: Sequence[str]) -> dict[str, Any]:
    """The model node of a run's net. Words may change how pictures are brought to it, not what it is: StoreError."""
    theirs = dict(results["config"]["model"])
    if not any(word.split("=")[0].split(".")[0] == "model" for word in words):
        return theirs
    wrong = [key for key in {*_shape(asked), *_shape(theirs)} if _shape(asked).get(key) != _shape(theirs).get(key)]
    if wrong:
        name = theirs.get("name", theirs["family"])
        text = f"the net of run {safe(results['id'])} is a {name} with another {', '.join(sorted(wrong))}"
        raise StoreError(Fault("model", text, do=f"leave model out, or say model={name}"))
    learned = {key: theirs["input"][key] for key in ("size", "digest") if key in theirs["input"]}
    return asked | {"input": asked["input"] | learned}


def _shape(node: dict[str, Any]) -> dict[str, Any]:
    """What of a model node decides its tensors."""
    kept = {key: value for key, value in node.items() if key not in ("input", "precision", "channels_last")}
    decide = ("channels", "crop", "width", "tokenizer", "length")
    return kept | {f"input.{key}": value for key, value in node["input"].items() if key in decide}


def bring_tokenizer(model: dict[str, Any], key: str, runs: Path) -> None:
    """Puts the tokenizer that was stored beside a net into the cache, where it may have been cleaned away."""
    if digest := model["input"].get("digest"):
        with suppress(OSError, Damaged):  # the one in the cache does as well, if it is there
            restore(Store(runs / ".store", create=False).read(key, "tokenizer.json"), digest, runs / ".cache")
