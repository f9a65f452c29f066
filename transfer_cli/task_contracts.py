"""The interfaces of tasks and scorings. A task defines what is learned from rows; its scoring defines metrics and the
display of answers.

Letters of shapes: B rows of a batch, N rows, C classes, K numbers, L labels, T tokens."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from transfer_cli.contracts import Batch, Inputs, Rows
from transfer_cli.errors import DataError, Fault
from transfer_cli.measures import Measure, primary_of

PADDING = -100  # marks a position without a target: the default `ignore_index` of cross_entropy
TEACH = "strategy=linear_probe or fine_tune gives it one"
NEW_HEAD = "strategy=linear_probe or fine_tune gives it a new head"


@dataclass(frozen=True)
class TaskContext:
    """What a task is created from. `names`: the classes, labels, numbers or tags to learn; `title`: the name of the
    data in messages; `tokenizer`: the tokenizer of a model that reads texts; `statistics`: returns mean and standard
    deviation [K] of the numbers to learn over training rows; None if no rows are available."""

    names: tuple[str, ...]
    title: str = "the data"
    tokenizer: Any = None
    statistics: Callable[[], tuple[np.ndarray, np.ndarray]] | None = None


class Task:
    """What is learned from rows. Stateless. Class attributes must be literals, because plan and command line read them
    from the syntax tree. Keyword-only arguments of `__init__` are the keys of its YAML.

    `head`: the name of its head in a net. `outputs`: what people call the names of the head's outputs. `offers`: what
    methods and predictors may ask of the task: "classes" (one integer per row), "labels" (several labels per row),
    "numbers" (a vector per row), "row" (any of these three, computed by one linear layer), "loss", "sample". `reads`:
    the kinds of row that it can learn from; empty: every kind. `wants`: the input of the head, the features of the
    "row" or the "states" of its parts. `labels`: "human" labels count as labels used; "free" labels are computed from
    the row itself. `verbs`: the commands that a finished net supports. `code`: files of the package that the task runs
    but does not import, such as its head; they enter the keys of stages together with the task's own file."""

    head: ClassVar[str]
    outputs: ClassVar[str] = "outputs"
    offers: ClassVar[tuple[str, ...]] = ("loss",)
    reads: ClassVar[tuple[str, ...]] = ()
    wants: ClassVar[str] = "row"
    labels: ClassVar[str] = "human"
    verbs: ClassVar[tuple[str, ...]] = ("predict", "export", "serve")
    code: ClassVar[tuple[str, ...]] = ()

    def __init__(self, context: TaskContext) -> None:
        self.context, self.names = context, context.names

    def prepare(self, net: Any) -> None:
        """Adds the head of this task to `net`; weights of an existing head are kept."""
        raise NotImplementedError

    def settle(self, net: Any, title: str) -> None:
        """Checks, before scoring, that `net` has a head for this task. If people label the rows, the outputs of the
        head must have the names of this task, in the same order; a head without names passes. `title`: the name of the
        data in messages. Raises DataError otherwise."""
        if self.head not in net.heads:
            raise DataError(Fault("evaluate", f"no stage taught the net the head {self.head}", do=TEACH))
        known = net.classes[self.head]
        if self.labels == "human" and known is not None and tuple(known) != self.names:
            shared = len(set(known) & set(self.names))
            text = f"the net has {len(known)} {self.outputs}, {title} has {len(self.names)}, {shared} shared"
            raise DataError(Fault("evaluate", text, do=NEW_HEAD))

    def wrap(self, items: Any, rows: Any) -> Any:
        """Adds the targets of this task to `items`, the rows of a kind; `rows` are their positions in the data."""
        return items

    def new_rows(self, items: Any, given: Sequence[Any]) -> Any:
        """As `wrap`, for new rows without labels."""
        return items

    def forward(self, net: Any, inputs: Inputs) -> Any:
        """The output of the net, in the form that `loss` takes."""
        return net(inputs, self.head)

    def loss(self, out: Any, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """The mean loss of a batch, a tensor ()."""
        raise NotImplementedError

    def weight(self, batch: Batch) -> float | Tensor:
        """The weight of the batch when losses are averaged; a tensor () if it is computed on the device."""
        return float(len(batch))


@dataclass(frozen=True)
class AnswerColumn:
    """A column of the table that `predict` prints. `only`: "screen" or "machine" output; empty: both. `head`: the
    heading, default `name`."""

    name: str
    only: str = ""
    head: str | None = None


class Scoring:
    """Metrics of a task and the display of its answers. Belongs to the key of evaluation only, not of training.
    `measures` describes each metric; a metric of one class, `f1/cat`, has the measure of `f1`."""

    measures: ClassVar[dict[str, Measure]] = {}

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
        """The output of the net that is scored, for a batch."""
        return self.task.forward(net, batch.inputs)

    def rows(self, out: Any, batch: Batch) -> Rows:
        """The values of each row that metrics need, tensors [B, ...]."""
        raise NotImplementedError

    def metrics(self, rows: Rows) -> dict[str, float]:
        """Metrics over all rows, by name."""
        raise NotImplementedError

    def by_name(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The same metrics; those of one output of the task's head (`f1/0`) under its name (`f1/cat`)."""
        parts = [(*name.partition("/"), value) for name, value in metrics.items()]
        return {f"{metric}/{self.task.names[int(n)]}" if n else metric: value for metric, _, n, value in parts}

    def better(self, metrics: Mapping[str, float]) -> tuple[float, float]:
        """The criterion of snapshot selection: larger is better, the second number breaks ties."""
        value = metrics[self.primary]
        return (-value if self.lower else value), 0.0

    def interval(self, rows: Rows, metric: str) -> tuple[float, float] | None:
        """The 95 % confidence interval of a metric in closed form; None: the engine uses the bootstrap over rows."""
        return None

    def per_row(self, rows: Rows) -> dict[str, Tensor]:
        """Values for paired tests: [N], whose mean is the metric, or [N, 2], whose ratio of sums is the metric."""
        return {}

    def details(self, rows: Rows) -> dict[str, Any]:
        """Further results for the report as JSON, such as a confusion matrix."""
        return {}

    def columns(self) -> list[AnswerColumn]:
        """Columns of the answers, in addition to the name of the row and its error."""
        raise NotImplementedError

    def answers(self, out: Any, batch: Batch, given: Sequence[Any]) -> list[dict[str, Any]]:
        """One answer per row, by column name; `given` are the rows of the batch as their kind opened them."""
        raise NotImplementedError
