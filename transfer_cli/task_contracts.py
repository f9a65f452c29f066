"""What tasks and their scoring promise. A task says what is learned from rows, its scoring how that is judged and
shown.

Letters of shapes: B rows of a batch, N rows, C classes, K numbers, L labels, T tokens."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from transfer_cli.contracts import Batch, Inputs, Rows
from transfer_cli.errors import DataError, Fault
from transfer_cli.measures import Measure, primary_of

TEACH = "strategy=linear_probe or fine_tune gives it one"


@dataclass(frozen=True)
class TaskContext:
    """What a task is made for. `names`: classes, labels, numbers or tags that are learned; `title`: what people call
    the data; `tokenizer`: the model's, if it reads texts; `statistics`: gives mean and standard deviation [K] of the
    numbers to learn, over training rows, None where no rows are at hand."""

    names: tuple[str, ...]
    title: str = "the data"
    tokenizer: Any = None
    statistics: Callable[[], tuple[np.ndarray, np.ndarray]] | None = None


class Task:
    """What is learned from rows. Without state. Class attributes are literals: plan and command line read them from the
    syntax tree. Keyword-only arguments of `__init__` are the keys of its YAML.

    `head`: the name of its head in a net. `offers`: what methods and predictors may ask of it: "classes" (one integer a
    row), "labels" (several), "numbers" (a vector a row), "row" (any of these, by one
    linear layer), "loss", "sample". `reads`: kinds of row, empty for every kind. `wants`: what the
    head is given, features of the "row" or "states" of its parts. `labels`: "human" are counted as labels used, "free"
    are made from the row itself. `verbs`: what a finished net can be asked. `coupled`: its loss is no mean over rows.
    `parents`: settings that name runs or files which shape training. `code`: files of the package, beside its own, that
    it runs on without importing them: its head."""

    head: ClassVar[str]
    offers: ClassVar[tuple[str, ...]] = ("loss",)
    reads: ClassVar[tuple[str, ...]] = ()
    wants: ClassVar[str] = "row"
    labels: ClassVar[str] = "human"
    verbs: ClassVar[tuple[str, ...]] = ("predict", "export", "serve")
    coupled: ClassVar[bool] = False
    validates: ClassVar[bool] = True
    parents: ClassVar[tuple[str, ...]] = ()
    code: ClassVar[tuple[str, ...]] = ()

    def __init__(self, context: TaskContext) -> None:
        self.context, self.names = context, context.names

    def prepare(self, net: Any) -> None:
        """Gives `net` the head of this task; what the net already knows of it is kept."""
        raise NotImplementedError

    def settle(self, net: Any, title: str) -> None:
        """Before scoring: makes sure that the net's head is one for this task. Raises DataError if it is not."""
        if self.head not in net.heads:
            raise DataError(Fault("evaluate", f"no stage taught the net the head {self.head}", do=TEACH))

    def wrap(self, items: Any, rows: Any) -> Any:
        """The rows of a kind with what this task learns of them; `rows` says which rows of the data they are."""
        return items

    def new_rows(self, items: Any, given: Sequence[Any]) -> Any:
        """The same of new rows, of which nothing is known but what they are."""
        return items

    def forward(self, net: Any, inputs: Inputs) -> Any:
        """What the net answers, as `loss` takes it."""
        return net(inputs, self.head)

    def loss(self, out: Any, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean loss () of a batch."""
        raise NotImplementedError

    def weight(self, batch: Batch) -> float | Tensor:
        """How much the batch counts when losses are averaged; a tensor () where only the device can count."""
        return float(len(batch))


@dataclass(frozen=True)
class AnswerColumn:
    """A column of the table that `predict` prints. `only`: "screen" or "machine", empty for both."""

    name: str
    only: str = ""
    head: str | None = None


class Scoring:
    """How a task is judged and its answers shown; part of the key of evaluation alone. `measures` says of each metric
    what it is; a metric of one class, `f1/cat`, has the measure of `f1`."""

    measures: ClassVar[dict[str, Measure]] = {}
    parents: ClassVar[tuple[str, ...]] = ()

    def __init__(self, task: Any) -> None:
        self.task = task

    @property
    def primary(self) -> str:
        return primary_of(self.measures)

    @property
    def lower(self) -> bool:
        """Whether a smaller primary metric is better."""
        return self.measures[self.primary].lower_is_better

    @property
    def watched(self) -> tuple[str, ...]:
        """Metrics shown at each validation."""
        return tuple(name for name, measure in self.measures.items() if measure.watched)

    def ask(self, net: Any, batch: Batch) -> Any:
        """What is judged: the task's answer to a batch."""
        return self.task.forward(net, batch.inputs)

    def rows(self, out: Any, batch: Batch) -> Rows:
        """What metrics need of each row [B, ...]."""
        raise NotImplementedError

    def metrics(self, rows: Rows) -> dict[str, float]:
        """Metrics of all rows."""
        raise NotImplementedError

    def better(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        """What a snapshot is chosen by: larger is better, the second number decides ties."""
        value = metrics[self.primary]
        return (-value if self.lower else value), 0.0

    def interval(self, rows: Rows, metric: str) -> tuple[float, float] | None:
        """The 95 % interval of a metric over these rows in closed form; None: the engine resamples rows."""
        return None

    def per_row(self, rows: Rows) -> dict[str, Tensor]:
        """For paired tests: values [N] whose mean is the metric, or [N, 2], whose ratio of sums is."""
        return {}

    def details(self, rows: Rows) -> dict[str, Any]:
        """More of these rows for the report, as JSON: a confusion matrix."""
        return {}

    def columns(self) -> list[AnswerColumn]:
        """Columns of the answers, beside the row's name and its error."""
        raise NotImplementedError

    def answers(self, out: Any, batch: Batch, given: Sequence[Any]) -> list[dict[str, Any]]:
        """One answer a row, by name of the column; `given` are the rows of the batch as their kind opened them."""
        raise NotImplementedError
