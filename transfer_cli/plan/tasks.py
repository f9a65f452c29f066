"""The task of a data set, read from the syntax tree of `tasks/<name>.py` without importing it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from transfer_cli.config.signatures import find_signature, signature
from transfer_cli.data.dataset import DataSet
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.plan.plan import Json

Values = Json  # a configuration


@dataclass(frozen=True)
class PlannedTask:
    """A task. `head`: the name of its head in the net; `outputs`: what people call the names of the head's outputs;
    `wants`: the input of the head, "row" or "states"; `offers`: what methods and predictors may require; `labels`,
    `reads`: as in Task. `causal`: it predicts the next token. `spec`: its part of a key, empty if it is the data's own
    task with default settings. `code`, `scoring`: the files that training and evaluation run."""

    name: str
    head: str
    offers: tuple[str, ...]
    outputs: str = "outputs"
    labels: str = "human"
    reads: tuple[str, ...] = ()
    wants: str = "row"
    causal: bool = False
    spec: Json = field(default_factory=dict)
    code: tuple[Path, ...] = ()
    scoring: tuple[Path, ...] = ()

    def meets(self, needs: Sequence[str]) -> bool:
        """Whether the task offers everything that a method or predictor needs."""
        return set(needs) <= set(self.offers)


def task_of(values: Values, data: DataSet) -> PlannedTask:
    """The task of a data set in a run: that of the word `task=`, otherwise the data's own. Raises ConfigError if the
    data have no labels for it, or are of a kind that it does not read."""
    plugins, own = tuple(values["plugins"]), data.raw.task
    node = values.get("task") or {"task": own}
    task = _described(str(node["task"]), node, own, plugins)
    if task.name != own and task.labels == "human":
        text = f"learns from labels that {data.title} does not have; its task is {own}"
        raise ConfigError(Fault("task", text, task.name, do="leave task out"))
    if task.reads and data.raw.kind not in task.reads:
        text = f"reads {', '.join(task.reads)}, and {data.title} are {data.raw.kind}"
        raise ConfigError(Fault("task", text, task.name, do="leave task out, or another data set"))
    return task


def _described(name: str, node: Json, own: str, plugins: Sequence[str]) -> PlannedTask:
    task = signature("task", name, plugins)
    scoring = find_signature("scoring", name, plugins)
    settings = {key: value for key, value in node.items() if key != "task"}
    defaults = {param.name: param.default for param in task.params.values()}
    changed = name != own or any(defaults.get(key) != value for key, value in settings.items())
    flags = task.flags
    return PlannedTask(
        name,
        head=str(flags["head"]),
        offers=tuple(flags["offers"]),
        outputs=str(flags["outputs"]),
        labels=str(flags["labels"]),
        reads=tuple(flags["reads"]),
        wants=str(flags["wants"]),
        causal=flags["wants"] == "states" and flags["labels"] == "free",
        spec={"task": name, **defaults, **settings} if changed else {},
        code=(task.path, *task.beside(flags.get("code", ()))),
        scoring=(scoring.path,) if scoring else (),
    )
