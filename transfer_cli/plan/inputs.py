"""What a model reads, made to fit the data: pictures, texts by a tokenizer, vectors of a width."""

import json
from collections.abc import Sequence
from pathlib import Path

from transfer_cli.config.signatures import signature
from transfer_cli.data.dataset import DataSet
from transfer_cli.data.readers.text import wants_causal
from transfer_cli.data.tokenizers import fitted
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.plan.plan import Json

INPUTS = {"tokenizer": "texts", "width": "vectors"}  # the key that tells what a model reads, if not pictures
USUAL = {"pictures": "resnet18", "texts": "embedding_bag", "vectors": "mlp_vectors"}  # models, if data name another


def check_kind(model: Json, called: str, target: DataSet, source: DataSet | None, plugins: Sequence[str]) -> None:
    """Raises ConfigError unless model, target and source are of one kind; `called` is the model's name for people."""
    wants = next((kind for key, kind in INPUTS.items() if key in model["input"]), "pictures")
    for data in filter(None, (target, source)):
        if data.raw.kind != wants:
            usual = data.view.default_model if data.view.default_model != called else USUAL[data.raw.kind]
            do = f"model={usual}" if data is target else f"another {data.word}"
            raise ConfigError(Fault("model", f"reads {wants}, and {data.title} are {data.raw.kind}", called, do=do))
        if data.raw.task == "language" and _is_masked(model, plugins):
            raise ConfigError(wants_causal(called))


def _is_masked(model: Json, plugins: Sequence[str]) -> bool:
    """Whether the model's family says of this architecture that it sees the tokens it would have to predict; of others
    the engine finds out."""
    name = (model.get("config") or {}).get("model_type") or model.get("name") or model["family"]
    return name in signature("model", model["family"], plugins).flags.get("masked", ())


def fit(spec: Json, target: DataSet, source: DataSet | None, seed: int, cache: Path) -> Json:
    """The input of a model with the tokenizer or the width that the data give it; of pictures as it is. Raises
    DataError where target and source have rows of different widths."""
    if "tokenizer" in spec:
        return _tokens(spec, target, source, seed, cache)
    return {"width": _width(spec["width"], target, source)} if "width" in spec else spec


def _tokens(spec: Json, target: DataSet, source: DataSet | None, seed: int, cache: Path) -> Json:
    """The tokenizer, learned from the source's training texts, else from those of the target that may be read."""
    data = source or target
    labelled = data is target

    def texts() -> list[str]:
        rows = data.rows("train", labelled=labelled, seed=seed)
        every = data.raw.parts[rows.part].read()
        return [every[row] for row in rows.index]

    content = json.dumps(data.key("train", labelled=labelled, seed=seed), sort_keys=True)
    return fitted(spec, texts, content, cache)


def _width(wanted: int | None, target: DataSet, source: DataSet | None) -> int:
    """How many numbers the model reads: those that target and source have."""
    for data in filter(None, (target, source)):
        found = int(data.raw.parts["train"].read().shape[1])
        if wanted not in (None, found):
            raise DataError(Fault(data.word, f"has {found:,} numbers a row, the model reads {wanted:,}", data.title))
        wanted = found
    assert wanted is not None, "there is a target"
    return wanted
