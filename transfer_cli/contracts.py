"""What engine, methods, models, data and predictors promise each other. Imports torch only.

A method yields losses, the engine does the rest (backward, clipping, optimisers, precision, saving).
A batch is opaque to a method: images and text look the same. Letters of shapes stand in DESIGN's order:
B rows, D features, C classes, E draws (episodes), M support rows, Q query rows."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from transfer_cli.ranges import Range as Range

Inputs = dict[str, Tensor]


def joined(first: Inputs, second: Inputs) -> Inputs:
    """Rows of both, to pass through a net together. Texts are padded on the right to the longer of the two."""
    return {name: torch.cat(_even(x, second[name])) for name, x in first.items()}


def _even(x: Tensor, y: Tensor) -> list[Tensor]:
    if x.ndim != 2 or x.shape[1] == y.shape[1]:
        return [x, y]
    width = max(x.shape[1], y.shape[1])
    return [nn.functional.pad(part, (0, width - part.shape[1])) for part in (x, y)]


@dataclass(frozen=True)
class Stream:
    """A loader a method reads. `views` names augmentation policies: "train" is the data set's own (`augment`),
    "none", "weak", "strong" are fixed; the first fills `batch.inputs`. `side` is whose rows: "source" or "target", by
    the stream's name unless said. `optional`: there only where there is something for it, else neither task nor batch
    has the stream: rows of a source if there is one; labelled rows of the target beside unlabelled ones if the run says
    how many (`shots`, `fraction`). Plan reads this from the syntax tree: write it as literals."""

    labelled: bool = True
    views: tuple[str, ...] = ("train",)
    part: str = "train"
    side: str = ""
    optional: bool = False
    sampler: str = ""


class Loss(NamedTuple):
    """One optimiser step: whose parameters move (`param_groups`), by which scalar `value` ().
    `weight` is what micro-batches, and the shares of several processes, are averaged by: rows or tokens that count;
    None: the rows of the batch."""

    param_groups: str | tuple[str, ...]
    value: Tensor
    logs: Mapping[str, Tensor] = {}
    weight: float | Tensor | None = None


class Progress(NamedTuple):
    """Where training stands: `step` of `steps`."""

    step: int
    steps: int

    @property
    def fraction(self) -> float:
        return self.step / max(1, self.steps)

    def renews(self, times: int) -> bool:
        """Whether what is made anew `times` times over training, first at step 0, is due."""
        return self.step % max(1, self.steps // times) == 0


@dataclass
class Batch:
    """`inputs` {"pixels": [B, C, H, W]}, {"ids": [B, T], "mask": [B, T]} or {"vectors": [B, D]}; `labels` [B] integers,
    [B, T] the next tokens of a text, or None; `index` [B] rows of the view; `views` one dict of inputs a policy,
    `inputs` is the first; `domains` [B] integers, which of the data set's domains each row is from, None where it has
    no such axis."""

    inputs: Inputs
    labels: Tensor | None
    index: Tensor
    views: tuple[Inputs, ...] = ()
    domains: Tensor | None = None

    def __len__(self) -> int:
        return len(self.index)

    def target(self) -> Tensor:
        """Labels of a labelled stream. Raises TypeError on an unlabelled one: a method must not peek."""
        if self.labels is None:
            raise TypeError("this stream has no labels; the method's `streams` says labelled=False")
        return self.labels


class Loader(Protocol):
    """Batches addressed by step: `loader[t]` depends on (seed, role, stream, t) only."""

    rows: int
    batch: int
    steps_per_epoch: int

    def __getitem__(self, t: int) -> Batch: ...

    def whole(self, batch: int | None = None) -> Iterator[Batch]:
        """Every row once, without augmentation; `index` says which row stands where."""

    def features(self, net: Any) -> tuple[Tensor, Tensor]:
        """Features [N, D] (fp32) and labels [N] of every row, in order; computed once for a given net and kept."""


class Net(Protocol):
    """Backbone (inputs -> features [B, D]) and named heads. The class is models/net.py."""

    heads: nn.ModuleDict
    width: int

    def features(self, inputs: Inputs) -> Tensor: ...
    def __call__(self, inputs: Inputs, head: str | None = None) -> Tensor: ...
    def blocks(self) -> list[nn.Module]: ...
    def graft(self, kind: str, endings: Sequence[str] = (), **settings: Any) -> list[nn.Parameter]: ...
    def merge(self) -> None: ...
    def describe(self) -> dict[str, Any]: ...
    def parameters(self) -> Iterator[nn.Parameter]: ...
    def modules(self) -> Iterator[nn.Module]: ...


class Task(Protocol):
    """What labels mean: head, loss, metrics. Stateless. `primary` is the metric that counts most, better where it is
    smaller if `lower`; `watched` are those told at each validation."""

    head: str
    primary: str
    lower: bool
    watched: tuple[str, ...]

    def prepare(self, net: Any) -> None:
        """Give `net` the head this task needs; what it already knows of it is kept."""

    def settle(self, net: Any, title: str) -> None:
        """Before scoring: make sure the head the net has speaks of this task. Raises DataError if it cannot."""

    def loss(self, out: Tensor, batch: Batch, smoothing: float = 0.0) -> Tensor:
        """Mean loss () of outputs [B, C], or [B, T, C] for tokens."""

    def weight(self, batch: Batch) -> float | Tensor:
        """How much the batch counts when losses are averaged; a tensor () where only the device can count."""

    def rows(self, out: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What metrics need of each row; tensors whose first axis is B, to be put together over batches."""

    def metrics(self, rows: dict[str, Tensor]) -> dict[str, float]:
        """Metrics of all rows."""

    def better(self, metrics: dict[str, float]) -> tuple[float, float]:
        """What a snapshot is chosen by: larger is better, the second number decides ties."""

    def half_width(self, rows: dict[str, Tensor], metrics: dict[str, float]) -> float:
        """Half the 95 % interval of the primary metric over these rows."""


@dataclass
class MethodInputs:
    """What the engine hands a method: the net, a task a stream, rows a stream, names of its domains a stream (none
    where the data have no such axis)."""

    net: Any
    tasks: dict[str, Task] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    domains: dict[str, tuple[str, ...]] = field(default_factory=dict)


ParamGroup = Sequence[nn.Module | nn.Parameter | tuple[nn.Module | nn.Parameter, float]]


class Method(nn.Module):
    """A training procedure. State is parameters and buffers, nothing else: what is not in `state_dict`
    is lost by a resume. Keyword-only arguments of `__init__` are the keys and defaults of its YAML.

    Several processes may train one method, each on its rows of the same batch; it need not know. Gradients and logs
    are then means over all rows, floating buffers are averaged after each step, `step` draws other noise in each
    process, `refresh` and `after` the same. Which parameters get a gradient must not depend on the rows."""

    streams: ClassVar[dict[str, Stream]] = {}
    steps: ClassVar[bool] = True  # False: `finish` is all the work, and it draws nothing
    needs: ClassVar[tuple[str, ...]] = ("loss",)  # what the task must offer
    extra: ClassVar[str] = ""  # the optional library it needs, named as the extra of pyproject.toml is
    # how the classes of a labelled source and an unlabelled target may differ. partial: the source may have more;
    # open: the target may, and to both streams' tasks those are one last class, "unknown"
    classes: ClassVar[str] = "same"
    parents: ClassVar[tuple[str, ...]] = ()  # settings that name a RUN or a file of weights: another net
    taught: ClassVar[bool] = False  # True: it adapts a net that an earlier stage taught the classes
    coupled: ClassVar[bool] = False  # True: the loss is no mean over rows, so micro-batches would change it

    def param_groups(self) -> dict[str, ParamGroup]:
        """Who is optimised by whose loss: items are modules, parameters or (item, lr scale); disjoint."""
        return {}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        """Yields losses; writes nothing to self; no graph crosses a yield."""
        raise NotImplementedError

    def result(self) -> dict[str, Any]:
        """What is handed on: "net" and parts by name. Pure."""
        return {"net": self.net}

    # optional hooks, in the order of a step
    def refresh(self, loaders: dict[str, Loader], at: Progress) -> None:
        """Before a step: whole-data passes, freezing by `at.fraction`."""

    def after(self, batch: dict[str, Batch], at: Progress, logs: dict[str, Tensor]) -> None:
        """Once a step, after the last optimiser step: moving averages."""

    def finish(self, loaders: dict[str, Loader]) -> None:
        """Once per snapshot handed on; all the work where `steps` is False."""


class Predictor(Protocol):
    """Few labelled features to scores, without training."""

    def scores(self, support: Tensor, labels: Tensor, query: Tensor, ways: int) -> Tensor:
        """support [E, M, D], labels [E, M] in 0..ways-1, query [E, Q, D] -> scores [E, Q, ways], larger is likelier."""


class Frozen:
    """A parent that is only read: follows no optimiser, is in no state dict, always in eval mode."""

    def __init__(self, module: nn.Module) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


class Ema(nn.Module):
    """Exponential moving average of a module: parameters are averaged, buffers copied."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - self.decay)
        for mine, theirs in zip(self.module.buffers(), module.buffers(), strict=True):
            mine.copy_(theirs)
