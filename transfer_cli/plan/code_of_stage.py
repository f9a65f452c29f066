"""The code part of a stage's key: which files decide what the stage computes. Training and scoring are hashed apart:
files of metrics stand in the key of `evaluate` and of stages that choose a snapshot by them, and in no other."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from transfer_cli.config.signatures import PACKAGE, signature
from transfer_cli.plan import code_hash, inputs
from transfer_cli.plan.context import Context
from transfer_cli.plan.plan import Json
from transfer_cli.plan.tasks import PlannedTask

VALIDATORS = PACKAGE / "metrics" / "label_free.py"
READS_WEIGHTS = PACKAGE / "models" / "weights.py"  # decides how a file of weights becomes a net


@dataclass(frozen=True)
class Code:
    """`hashes` stand in the spec of a stage; `files` are what they were taken of."""

    hashes: Json
    files: frozenset[Path]


@dataclass(frozen=True)
class Runs:
    """What of the code a stage runs: a method, predictor or samplers by name, readers of the `sides` it reads, further
    `files`. `tasks` it learns. `scored`: tasks whose metrics judge it, `guessed`: the label-free rules do. `drawn`: its
    views are drawn at random."""

    method: str = "none"
    predictor: str = "none"
    samplers: tuple[str, ...] = ()
    sides: tuple[str, ...] = ()
    tasks: tuple[PlannedTask, ...] = ()
    scored: tuple[PlannedTask, ...] = ()
    guessed: bool = False
    drawn: bool = False
    files: tuple[Path, ...] = ()


def code_of(context: Context, runs: Runs) -> Code:
    """Hashes of the files that a stage runs, with the numbers that stand for the files every stage runs."""
    kind = inputs.kinds(context.plugins)[context.target.raw.kind]
    rows = kind.code if runs.sides else ()
    drawn = kind.augmentation if runs.drawn else frozenset()
    shared = {("model", str(context.values["model"]["family"])), *(("data", _family(context, s)) for s in runs.sides)}
    features = _closure(context, shared, rows, without=kind.augmentation)
    tasks = [file for task in runs.tasks for file in task.code]
    files = _closure(
        context, shared | _chosen(runs), [*rows, *drawn, *tasks, *runs.files], without=kind.augmentation - drawn
    )
    scoring = _closure(context, set(), _judges(runs))
    hashes: Json = {
        "versions": code_hash.versions(),
        # what decides features stands alone too: methods and predictors share them
        "features": code_hash.hash_of(features),
        "files": code_hash.hash_of(files),
    }
    if scoring:
        hashes["scoring"] = code_hash.hash_of(scoring)
    return Code(hashes, frozenset({*features, *files, *scoring}))


def _chosen(runs: Runs) -> set[tuple[str, str]]:
    """Group and name of what was chosen for this stage alone."""
    pairs = [("method", runs.method), ("predictor", runs.predictor), *(("sampler", name) for name in runs.samplers)]
    return {pair for pair in pairs if pair[1] != "none"}


def _judges(runs: Runs) -> list[Path]:
    """Files of metrics that the stage is judged by."""
    return [*(file for task in runs.scored for file in task.scoring), *([VALIDATORS] if runs.guessed else [])]


def _closure(
    context: Context, named: set[tuple[str, str]], files: Iterable[Path], without: frozenset[Path] = frozenset()
) -> dict[Path, str]:
    paths = {*(signature(group, name, context.plugins).path for group, name in named), *files}
    return code_hash.closure_of(sorted(paths), context.cache, without=without) if paths else {}


def _family(context: Context, side: str) -> str:
    """The family that reads a side; of source=base it is the target's."""
    family = str(context.values["source" if side == "source" else "data"]["family"])
    return str(context.values["data"]["family"]) if family == "base" else family
