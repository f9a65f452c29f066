"""The interfaces between engine, methods, models, data and predictors. Imports torch only.

A method yields losses; the engine does the rest (backward, clipping, optimisers, precision, saving). The interfaces of
tasks are in task_contracts.py. A batch is opaque to a method: pictures and texts look the same.
Letters of shapes: B rows, D features, C classes, E draws (episodes), M support rows, Q query rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from transfer_cli.module_copies import Ema as Ema
from transfer_cli.module_copies import Frozen as Frozen
from transfer_cli.ranges import Range as Range

if TYPE_CHECKING:
    import numpy as np

Inputs = dict[str, Tensor]
Targets = Tensor | dict[str, Tensor]
Rows = dict[str, Tensor]  # the values of each row that metrics need, first axis N


@dataclass(frozen=True)
class Stream:
    """A data loader that a method reads.

    `views`: augmentation policies; "train" is the policy of the data set (`augment`), "none", "weak" and "strong" are
    fixed. The first view fills `batch.inputs`. `side`: "source" or "target", the data set that the rows come from;
    default: the name of the stream. `optional`: the stream exists only if the run has rows for it, otherwise it is
    missing in tasks and batches: source rows need a source; labelled target rows beside unlabelled ones need a number
    (`shots`, `fraction`). `sampler`: the file of samplers/ that chooses the rows of a batch; empty: every row once per
    epoch. Values must be literals, because the plan reads them from the syntax tree."""

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
    """One optimiser step: minimises `value`, a scalar (), over the parameters of `param_groups`.
    `weight`: the weight in averages over micro-batches and processes, the number of rows or tokens that the loss uses;
    None: the rows of the batch. `logs`: values to record."""

    param_groups: str | tuple[str, ...]
    value: Tensor
    logs: Mapping[str, Tensor] = {}
    weight: float | Tensor | None = None


class Progress(NamedTuple):
    """The progress of training: `step` of `steps`."""

    step: int
    steps: int

    @property
    def fraction(self) -> float:
        return self.step / max(1, self.steps)

    def renews(self, times: int) -> bool:
        """Whether an update that is due `times` times during training, first at step 0, is due now."""
        return self.step % max(1, self.steps // times) == 0


@dataclass
class Batch:
    """A batch of one stream.

    `inputs`: tensors by name, defined by the kind of row: {"pixels": [B, C, H, W]}, {"ids": [B, T], "mask": [B, T]},
    {"vectors": [B, D]}. `labels` [B]: classes; `targets`: what a task other than classification learns, one tensor or
    several by name, first axis B; both are None if the stream has no labels. `index` [B]: positions of the rows in the
    stream. `views`: one dict of inputs per augmentation policy; `inputs` is the first. `domains` [B]: the domain of
    each row, None if the data have no domains. `shape`: the leading axes that a sampler defines, such as (episodes,
    ways, shots), whose product is B; empty without a sampler."""

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
        """The targets of a labelled stream: `targets` if given, else `labels`. Raises TypeError on an unlabelled
        stream, whose labels a method must not read."""
        target = self.labels if self.targets is None else self.targets
        if target is None:
            raise TypeError("this stream has no labels; the method's `streams` says labelled=False")
        return target

    def rows(self, chosen: Tensor | slice) -> "Batch":
        """A batch of the chosen rows."""
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
    """Rows of one view, gathered by position. `labels` [N, ...]: the classes or targets of rows, on the device that
    computes; `targeted`: they are not classes. Positions must be tensors on the device `home`."""

    labels: Tensor
    targeted: bool
    domains: Tensor | None  # [N], the domain of each row, on the device of the labels; None without domains
    home: torch.device
    noun: str  # the word for rows in messages
    chunk: int  # rows per batch in passes without training
    cut: int  # number of rows longer than the context window of the net, which are truncated

    def __len__(self) -> int: ...

    def gather(self, index: Tensor, policy: str, rng: "Callable[[], np.random.Generator]") -> tuple[Inputs, Targets]:
        """Inputs of a net and their labels or targets; first axis B."""

    def arranged(self, order: "np.ndarray", batch: int, rng: "np.random.Generator") -> "np.ndarray":
        """Rearranges the order of an epoch so that rows of one batch suit each other, such as texts of similar
        length."""

    def in_order(self) -> Tensor:
        """All rows, in the order in which passes without training read them."""


class Loader(Protocol):
    """Batches by step: `loader[t]` depends only on (seed, role, stream, t)."""

    rows: int
    batch: int
    steps_per_epoch: int

    def __getitem__(self, t: int) -> Batch: ...

    def at(self, t: int, draw: Draw) -> Batch:
        """Batch t with the rows and views that a method chose in `Method.draw`."""

    def whole(self, batch: int | None = None) -> Iterator[Batch]:
        """Every row once, without augmentation; `index` contains their positions."""

    def features(self, net: Any) -> tuple[Tensor, Tensor]:
        """Features [N, D] (fp32) and labels [N] of all rows, in order; computed once per net and cached."""


class Sampler(Protocol):
    """Chooses the rows of batch t: numpy only, a pure function of t. Constructed as Name(labels, batch, *, settings):
    `labels` [N, ...] are the labels or targets of the stream's rows, int64 [N] for classes; `batch` is the configured
    batch size.

    `needs`: what the task of the rows must offer, as in Method, such as "classes"; empty: nothing. `shape`: leading
    axes of a batch, such as (episodes, way, shots + queries); its product is the number of rows. Processes and
    micro-batches get whole units of the first axis: rows of one unit stay together. `groups` [N]: the task or client of
    each row, if any."""

    needs: ClassVar[tuple[str, ...]] = ()
    shape: tuple[int, ...]
    groups: "np.ndarray | None"

    def index(self, t: int, rng: "Callable[[str, int], np.random.Generator]") -> "np.ndarray":
        """Rows [prod(shape)] of batch t. `rng(purpose, number)` returns a new generator, the same one for the same
        purpose and number in one stream of a run. Random numbers that several batches share, such as the order of an
        epoch, need another number than t, such as the number of the epoch."""


class Net(Protocol):
    """A backbone (inputs -> features [B, D]) with named heads. models/net.py implements it."""

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
    """The arguments that the engine passes to a method. By name of the stream: its task, its number of rows, the names
    of its domains (empty without domains), and `groups` [N], the group of each row if the sampler has groups. `parts`:
    for each setting in `Method.parents` the net that it names, as `Frozen`, which takes the same inputs as `net`."""

    net: Any
    tasks: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    domains: dict[str, tuple[str, ...]] = field(default_factory=dict)
    parts: dict[str, Any] = field(default_factory=dict)
    groups: dict[str, Tensor] = field(default_factory=dict)


ParamGroup = Sequence[nn.Module | nn.Parameter | tuple[nn.Module | nn.Parameter, float]]


class Method(nn.Module):
    """A training procedure. Its state consists of parameters and buffers only: anything that is not in `state_dict` is
    lost when a run is resumed. Keyword-only arguments of `__init__` are the keys and defaults of its YAML.

    Several processes may train one method, each on its rows of the same batch; the method needs no code for that.
    Gradients and logs are then means over all rows, and floating-point buffers are averaged after each step. Random
    numbers differ between processes in `step`, and are equal in `refresh` and `after`. Which parameters get a gradient
    must not depend on the rows."""

    streams: ClassVar[dict[str, Stream]] = {}
    steps: ClassVar[bool] = True  # False: `finish` does all the work and uses no random numbers
    needs: ClassVar[tuple[str, ...]] = ("loss",)  # required entries of Task.offers
    extra: ClassVar[str] = ""  # the extra of pyproject.toml that installs an optional library it needs
    # how the classes of a labelled source and an unlabelled target may differ. partial: the source may have more
    # classes; open: the target may have more, which form one last class, "unknown", in the tasks of both streams
    classes: ClassVar[str] = "same"
    parents: ClassVar[tuple[str, ...]] = ()  # settings that name a RUN or a file of weights: `given.parts[setting]`
    taught: ClassVar[bool] = False  # True: it adapts a net whose head an earlier stage trained
    heads: ClassVar[bool] = True  # False: it trains no head of a task, so no rule that reads labels can score it
    coupled: ClassVar[bool] = False  # True: the loss is not a mean over rows, so micro-batches would change it

    def param_groups(self) -> dict[str, ParamGroup]:
        """Parameter groups by name, to which losses refer. Items are modules, parameters or (item, learning-rate
        scale); groups must be disjoint."""
        return {}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        """Yields losses. Must not modify self; no autograd graph may be used across a yield."""
        raise NotImplementedError

    def result(self) -> dict[str, Any]:
        """The modules that later stages get: "net" and further parts by name. Has no side effects."""
        return {"net": self.net}

    # optional hooks, in the order of a step
    def refresh(self, loaders: dict[str, Loader], at: Progress) -> None:
        """Runs before a step: passes over all data, freezing of layers by `at.fraction`."""

    def draw(self, at: Progress) -> dict[str, Draw]:
        """After `refresh`: what this step chooses for some streams. Reads buffers only: a resumed run chooses alike."""
        return {}

    def after(self, batch: dict[str, Batch], at: Progress, logs: dict[str, Tensor]) -> None:
        """Runs once per step, after the last optimiser step: moving averages."""

    def finish(self, loaders: dict[str, Loader]) -> None:
        """Runs once for each snapshot that later stages get. Does all the work if `steps` is False."""


class Predictor(Protocol):
    """Predicts from a few labelled features, without training. `needs`: what the task must offer, as in Method;
    default "classes". A predictor that needs only "row" also answers tasks of several labels or numbers, by a method
    numbers(support [E, M, D], targets [E, M, K], query [E, Q, D]) -> [E, Q, K]."""

    def scores(self, support: Tensor, labels: Tensor, query: Tensor, ways: int) -> Tensor:
        """support [E, M, D], labels [E, M] in 0..ways-1, query [E, Q, D] -> scores [E, Q, ways]; larger means more
        likely."""
