"""What a model reads, made to fit the data. Kinds of rows say it of themselves: `kinds/<kind>.py` is read here and
nowhere else in the plan, its literals without importing it."""

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
    """A kind of rows. `input`: the key of `model.input` that no other kind has; `usual`: the model that is taken where
    data name one of another kind; `code`: files that rows of the kind run on; `augmentation`: those that they run on
    once a view is drawn."""

    name: str
    input: str
    usual: str
    code: tuple[Path, ...]
    augmentation: frozenset[Path] = frozenset()


def kinds(plugins: Sequence[str] = ()) -> dict[str, PlannedKind]:
    """Every kind of row by name, ours and those of plugins."""
    found = {name: signature("kind", name, plugins) for name in stems("kind", plugins)}
    return {name: _planned(name, kind) for name, kind in found.items() if kind.flags.get("input")}


def _planned(name: str, kind: Signature) -> PlannedKind:
    flags = kind.flags
    drawn = kind.beside([flags["augmentation"]]) if flags.get("augmentation") else ()
    code = (kind.path, *kind.beside(flags.get("code", ())))
    return PlannedKind(name, str(flags["input"][0]), str(flags["usual"]), code, frozenset(drawn))


def kind_of(spec: Json, plugins: Sequence[str] = ()) -> PlannedKind | None:
    """The kind that a model with this input reads."""
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
    """Raises ConfigError unless model, target and source are of one kind; `called` is the model's name for people.
    `causal`: what is learned are next tokens, which the model must not see."""
    kind = kind_of(model["input"], plugins)
    reads = kind.name if kind else "no kind of row"
    for data in filter(None, (target, source)):
        if data.raw.kind != reads:
            do = f"model={_usual(data, called, plugins)}" if data is target else f"another {data.word}"
            raise ConfigError(Fault("model", f"reads {reads}, and {data.title} are {data.raw.kind}", called, do=do))
    if causal and _is_masked(model, plugins):
        raise ConfigError(wants_causal(called))


def _usual(data: DataSet, called: str, plugins: Sequence[str]) -> str:
    """The model that the data name, or the usual one of their kind where that is the one that does not fit."""
    named = data.view.default_model
    return named if named != called else kinds(plugins)[data.raw.kind].usual


def _is_masked(model: Json, plugins: Sequence[str]) -> bool:
    """Whether the model's family says of this architecture that it sees the tokens it would have to predict; of others
    the engine finds out."""
    name = (model.get("config") or {}).get("model_type") or model.get("name") or model["family"]
    return name in signature("model", model["family"], plugins).flags.get("masked", ())


def fit(
    spec: Json, target: DataSet, source: DataSet | None, seed: int, cache: Path, plugins: Sequence[str] = ()
) -> Json:
    """The input of a model completed by what the data say: a tokenizer, a width. Raises DataError if they disagree."""
    kind = kind_of(spec, plugins)
    if kind is None:
        return spec
    fitted: Json = load_class("kinds", kind.name, plugins)().fit(spec, target, source, seed, cache)
    return fitted
