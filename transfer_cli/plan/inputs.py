"""What a model reads, made to fit the data. Kinds of rows say it of themselves: `kinds/<kind>.py` is read here and
nowhere else in the plan, its literals without importing it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer_cli.config.signatures import PACKAGE, signature
from transfer_cli.data.dataset import DataSet
from transfer_cli.data.readers.text import wants_causal
from transfer_cli.data.tokenizers import fitted
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.plan.plan import Json


@dataclass(frozen=True)
class Kind:
    """A kind of rows. `input`: the key of `model.input` that no other kind has; `usual`: the model that is taken where
    data name one of another kind; `code`: files that rows of the kind run on; `augmentation`: those that they run on
    once a view is drawn."""

    name: str
    input: str
    usual: str
    code: tuple[Path, ...]
    augmentation: frozenset[Path] = frozenset()


_KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "pictures", "crop", "resnet18", (PACKAGE / "data/formats/decode.py", PACKAGE / "kinds/pictures.py"),
            frozenset({PACKAGE / "kinds/_augmentation.py"}),
        ),
        Kind("texts", "tokenizer", "embedding_bag", (PACKAGE / "kinds/texts.py",)),
        Kind("vectors", "width", "mlp_vectors", (PACKAGE / "kinds/vectors.py",)),
    )
}  # fmt: skip


def kinds(plugins: Sequence[str] = ()) -> dict[str, Kind]:
    """Every kind of row by name, ours and those of plugins."""
    return _KINDS


def check_kind(
    model: Json,
    called: str,
    target: DataSet,
    source: DataSet | None,
    plugins: Sequence[str],
    *,
    causal: bool = False,
) -> None:
    """Raises ConfigError unless model, target and source are of one kind; `called` is the model's name for people.
    `causal`: what is learned are next tokens, which the model must not see."""
    known = kinds(plugins)
    reads = next((kind.name for kind in known.values() if kind.input in model["input"]), "no known kind")
    for data in filter(None, (target, source)):
        if data.raw.kind != reads:
            usual = data.view.default_model if data.view.default_model != called else known[data.raw.kind].usual
            do = f"model={usual}" if data is target else f"another {data.word}"
            raise ConfigError(Fault("model", f"reads {reads}, and {data.title} are {data.raw.kind}", called, do=do))
    if causal and _is_masked(model, plugins):
        raise ConfigError(wants_causal(called))


def _is_masked(model: Json, plugins: Sequence[str]) -> bool:
    """Whether the model's family says of this architecture that it sees the tokens it would have to predict; of others
    the engine finds out."""
    name = (model.get("config") or {}).get("model_type") or model.get("name") or model["family"]
    return name in signature("model", model["family"], plugins).flags.get("masked", ())


def fit(
    spec: Json, target: DataSet, source: DataSet | None, seed: int, cache: Path, plugins: Sequence[str] = ()
) -> Json:
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
