"""The code part of a stage key: the files on which the results of a stage depend. Training and scoring are hashed
separately: files of metrics are part of the keys of `evaluate` and of stages that select snapshots by them, and of no
other key."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from transfer_cli.config.signatures import PACKAGE, signature
from transfer_cli.plan import code_hash, inputs
from transfer_cli.plan.context import Context
from transfer_cli.plan.plan import Json
from transfer_cli.plan.tasks import PlannedTask

VALIDATORS = PACKAGE / "metrics" / "label_free.py"
READS_WEIGHTS = PACKAGE / "models" / "weights.py"  # converts a file of weights to a net


@dataclass(frozen=True)
class Code:
    """`hashes`: part of the spec of a stage; `files`: the hashed files."""

    hashes: Json
    files: frozenset[Path]


@dataclass(frozen=True)
class UsedCode:
    """The code that a stage runs: its method, predictor and samplers by name, the readers of `sides` (source, target),
    and further `files`. `tasks`: the tasks that it learns. `scored`: the tasks whose metrics it computes. `guessed`:
    whether label-free rules select snapshots. `drawn`: whether its views are random augmentations."""

    method: str = "none"
    predictor: str = "none"
    samplers: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()
    tasks: tuple[PlannedTask, ...] = ()
    scored: tuple[PlannedTask, ...] = ()
    guessed: bool = False
    drawn: bool = False
    files: tuple[Path, ...] = ()


def code_of(context: Context, used: UsedCode) -> Code:
    """The hashes of the files that a stage runs, and the version numbers of the files that every stage runs. Raises
    ConfigError if a file does not parse."""
    kind = inputs.kinds(context.plugins)[context.target.raw.kind]
    rows = kind.code if used.sides else ()
    drawn = kind.augmentation if used.drawn else frozenset()
    shared = {("model", str(context.values["model"]["family"])), *(("data", _family(context, s)) for s in used.sides)}
    features = _closure(context, shared, rows, without=kind.augmentation)
    tasks = [file for task in used.tasks for file in task.code]
    files = _closure(
        context, shared | _chosen(used), [*rows, *drawn, *tasks, *used.files], without=kind.augmentation - drawn
    )
    scoring = _closure(context, set(), _judges(used))
    hashes: Json = {
        "versions": code_hash.versions(),
        # separate, because the feature cache is shared by stages with different methods and predictors
        "features": code_hash.hash_of(features),
        "files": code_hash.hash_of(files),
    }
    if scoring:
        hashes["scoring"] = code_hash.hash_of(scoring)
    return Code(hashes, frozenset({*features, *files, *scoring}))


def _chosen(used: UsedCode) -> set[tuple[str, str]]:
    """Group and name of the method, the predictor and the samplers of this stage."""
    pairs = [("method", used.method), ("predictor", used.predictor), *(("sampler", name) for name in used.samplers)]
    return {pair for pair in pairs if pair[1] != "none"}


def _judges(used: UsedCode) -> list[Path]:
    """The files of the metrics that the stage computes."""
    return [*(file for task in used.scored for file in task.scoring), *([VALIDATORS] if used.guessed else [])]


def _closure(
    context: Context, named: set[tuple[str, str]], files: Iterable[Path], without: frozenset[Path] = frozenset()
) -> dict[Path, str]:
    paths = {*(signature(group, name, context.plugins).path for group, name in named), *files}
    return code_hash.closure_of(sorted(paths), context.cache, without=without) if paths else {}


def _family(context: Context, side: str) -> str:
    """The data family that reads source or target; with source=base it is that of the target."""
    family = str(context.values["source" if side == "source" else "data"]["family"])
    return str(context.values["data"]["family"]) if family == "base" else family
