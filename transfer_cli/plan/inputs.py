"""The input of a model, fitted to the data. Only this file of the plan reads `kinds/<kind>.py`: literals from its
syntax tree, without an import."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transfer_cli.config.signatures import Signature, signature, stems
from transfer_cli.data.dataset import DataSet
from transfer_cli.data.readers.text import wants_causal
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.plan.plan import Json
from transfer_cli.plugins import load_class


@dataclass(frozen=True)
class PlannedKind:
    """A kind of rows. `input`: a key of `model.input` that no other kind has. `usual`: the suggested model if the
    data's own default is of another kind. `code`: the files that read rows of the kind. `augmentation`: the files that
    compute random views of them."""

    name: str
    input: str
    usual: str
    code: tuple[Path, ...]
    augmentation: frozenset[Path] = frozenset()


def kinds(plugins: Sequence[str] = ()) -> dict[str, PlannedKind]:
    """Every kind of row by name, built-in and from plugins."""
    signatures = {name: signature("kind", name, plugins) for name in stems("kind", plugins)}
    return {name: _planned(name, kind) for name, kind in signatures.items() if kind.flags.get("input")}


def _planned(name: str, kind: Signature) -> PlannedKind:
    flags = kind.flags
    augmentation = kind.beside([flags["augmentation"]]) if flags.get("augmentation") else ()
    code = (kind.path, *kind.beside(flags.get("code", ())))
    return PlannedKind(name, str(flags["input"][0]), str(flags["usual"]), code, frozenset(augmentation))


def kind_of(spec: Json, plugins: Sequence[str] = ()) -> PlannedKind | None:
    """The kind of row that a model with this input reads; None if no kind has such an input."""
    return next((kind for kind in kinds(plugins).values() if kind.input in spec), None)


def check_kind(
    model: Json,
    called: str,
    target: DataSet,
    source: DataSet | None,
    plugins: Sequence[str],
    *,
    causal: bool = False,
) -> None:
    """Raises ConfigError if model, target and source are not of the same kind. `called`: the model's name for messages.
    `causal`: the task is to predict the next token, so the model must not read later tokens."""
    kind = kind_of(model["input"], plugins)
    reads = kind.name if kind else "no kind of row"
    for data in filter(None, (target, source)):
        if data.raw.kind != reads:
            do = f"model={_usual(data, called, plugins)}" if data is target else f"another {data.word}"
            raise ConfigError(Fault("model", f"reads {reads}, and {data.title} are {data.raw.kind}", called, do=do))
    if causal and _is_masked(model, plugins):
        raise ConfigError(wants_causal(called))


def _usual(data: DataSet, called: str, plugins: Sequence[str]) -> str:
    """The default model of the data; the usual model of their kind if the default is the model that does not fit."""
    named = data.view.default_model
    return named if named != called else kinds(plugins)[data.raw.kind].usual


def _is_masked(model: Json, plugins: Sequence[str]) -> bool:
    """Whether the model's family declares that this architecture reads later tokens. The engine checks architectures
    that are not declared."""
    name = (model.get("config") or {}).get("model_type") or model.get("name") or model["family"]
    return name in signature("model", model["family"], plugins).flags.get("masked", ())


def fit(
    spec: Json, target: DataSet, source: DataSet | None, seed: int, cache: Path, plugins: Sequence[str] = ()
) -> Json:
    """The input of a model, completed from the data: for example the tokenizer or the number of columns. Raises
    DataError if model and data do not fit."""
    kind = kind_of(spec, plugins)
    if kind is None:
        return spec
    fitted: Json = load_class("kinds", kind.name, plugins)().fit(spec, target, source, seed, cache)
    return fitted
