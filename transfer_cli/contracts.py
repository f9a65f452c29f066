"""What engine, methods, tasks, models, data and predictors promise each other. Imports torch only.

A method yields losses, the engine does the rest (backward, clipping, optimisers, precision, saving). What tasks promise
is in task_contracts.py. A batch is opaque to a method: pictures and texts look the same.
Letters of shapes: B rows, D features, C classes, E draws (episodes), M support rows, Q query rows."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from transfer_cli.ranges import Range as Range

if TYPE_CHECKING:
    import numpy as np

Inputs = dict[str, Tensor]
Targets = Tensor | dict[str, Tensor]
Rows = dict[str, Tensor]  # what metrics need of each row, first axis N


@dataclass(frozen=True)
class Stream:
    """A loader a method reads. `views` names augmentation policies: "train" is the data set's own (`augment`),
    "none", "weak", "strong" are fixed; the first fills `batch.inputs`. `side` is whose rows: "source" or "target", by
    the stream's name unless said. `optional`: there only where there is something for it, else neither task nor batch
    has the stream: rows of a source if there is one; labelled rows of the target beside unlabelled ones if the run says
    how many (`shots`, `fraction`). `sampler`: the file of samplers/ that chooses the rows of a batch; empty: every row
    once an epoch. Plan reads this from the syntax tree: write it as literals."""

    labelled: bool = True
    views: tuple[str, ...] = ("train",)
    part: str = "train"
    side: str = ""
    optional: bool = False
    sampler: str = ""


class Draw(NamedTuple):
    """What a method chooses for one stream of one step: `rows` [M] from which the batch is drawn, no row to leave the
    stream out; `views`, augmentation policies in place of the stream's. None: as usual."""

    rows: Tensor | None = None
    views: tuple[str, ...] | None = None


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
    """`inputs`: tensors by name, as the kind of row has them: {"pixels": [B, C, H, W]}, {"ids": [B, T], "mask": [B,
    T]}, {"vectors": [B, D]}. `labels` [B]: classes; `targets`: what a task other than classification learns, a tensor
    or several by name, first axis B; both None where the stream has no labels. `index` [B]: rows of the view. `views`:
    one dict of inputs an augmentation policy, `inputs` is the first. `domains` [B]: the domain of each row, None where
    the data have none. `shape`: the leading axes that a sampler gives the rows, such as (episodes, ways, shots); their
    product is B. Empty without a sampler."""

    inputs: Inputs
    labels: Tensor | None
    index: Tensor
    views: tuple[Inputs, ...] = ()
    domains: Tensor | None = None
    targets: Targets | None = None
    shape: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.index)

    def target(self) -> Any:
        """What is learned from a labelled stream: `targets` where there are some, else `labels`. Raises TypeError on an
        unlabelled stream: a method must not look."""
        learned = self.labels if self.targets is None else self.targets
        if learned is None:
            raise TypeError("this stream has no labels; the method's `streams` says labelled=False")
        return learned

    def rows(self, chosen: Tensor | slice) -> "Batch":
        """The batch of some of its rows."""
        views = tuple(_picked(view, chosen) for view in self.views)
        return Batch(
            views[0] if views else _picked(self.inputs, chosen),
            _picked(self.labels, chosen),
            self.index[chosen],
            views,
            _picked(self.domains, chosen),
            _picked(self.targets, chosen),
        )


def _picked(x: Any, chosen: Tensor | slice) -> Any:
    if isinstance(x, dict):
        return {name: part[chosen] for name, part in x.items()}
    return None if x is None else x[chosen]


class DeviceDataset(Protocol):
    """Rows of one view, gathered by position. `labels` [N, ...]: what is learned of whole rows, on the device that
    computes; `targeted`: it is not a class. Positions are expected at `home`."""

    labels: Tensor
    targeted: bool
    domains: Tensor | None  # [N], the domain of each row, beside the labels; None where the data have none
    home: torch.device
    noun: str  # what people call rows
    chunk: int  # rows that pass through a net together when nothing is learned
    cut: int  # rows longer than the net's window

    def __len__(self) -> int: ...

    def gather(self, index: Tensor, policy: str, rng: "Callable[[], np.random.Generator]") -> tuple[Inputs, Targets]:
        """Inputs of a net, and what is learned from them; first axis B."""

    def arranged(self, order: "np.ndarray", batch: int, rng: "np.random.Generator") -> "np.ndarray":
        """An epoch's order of rows, changed so that rows of a batch go well together."""

    def in_order(self) -> Tensor:
        """All rows in the order in which a pass without learning takes them."""


class Loader(Protocol):
    """Batches addressed by step: `loader[t]` depends on (seed, role, stream, t) only."""

    rows: int
    batch: int
    steps_per_epoch: int

    def __getitem__(self, t: int) -> Batch: ...

    def at(self, t: int, draw: Draw) -> Batch:
        """Batch t with the rows and views that a method chooses."""

    def whole(self, batch: int | None = None) -> Iterator[Batch]:
        """Every row once, without augmentation; `index` says which row stands where."""

    def features(self, net: Any) -> tuple[Tensor, Tensor]:
        """Features [N, D] (fp32) and labels [N] of every row, in order; computed once for a given net and kept."""


class Sampler(Protocol):
    """Chooses the rows of batch t: numpy only, a pure function of t. Made as Name(labels, batch, *, settings): `labels`
    int64 [N] are those of the stream's rows, `batch` is the size that was asked for.

    `shape`: leading axes of a batch, such as (episodes, way, shots + queries); its product is the number of rows.
    Processes and micro-batches share out units of the first axis: rows of one unit stay together. `groups` [N]: the
    task or client of each row, if any."""

    shape: tuple[int, ...]
    groups: "np.ndarray | None"

    def index(self, t: int, rng: "Callable[[str, int], np.random.Generator]") -> "np.ndarray":
        """Rows [prod(shape)] of batch t. `rng(purpose, number)` is a new generator, the same for the same purpose and
        number in one stream of a run: what several batches share, such as an epoch's order, takes a number of its own
        in place of t."""


class Net(Protocol):
    """Backbone (inputs -> features [B, D]) and named heads. The class is in models/net.py."""

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


@dataclass
class MethodInputs:
    """What the engine hands a method: the net, a task a stream, rows a stream, names of its domains a stream (none
    where the data have no such axis). `parts`: for each setting in `Method.parents` the net that it names, as `Frozen`,
    which takes the same inputs as `net`. `groups` [N]: the group of each row, for streams whose sampler has groups."""

    net: Any
    tasks: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    domains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, Tensor] = field(default_factory=dict)


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
    parents: ClassVar[tuple[str, ...]] = ()  # settings that name a RUN or a file of weights: `given.parts[setting]`
    taught: ClassVar[bool] = False  # True: it adapts a net that an earlier stage taught the classes
    heads: ClassVar[bool] = True  # False: it teaches no head of a task, so no rule that reads labels can judge it
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

    def draw(self, at: Progress) -> dict[str, Draw]:
        """After `refresh`: what this step chooses for some streams. Reads buffers only: a resumed run chooses alike."""
        return {}

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
