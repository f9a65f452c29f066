"""Settings of the configuration itself: the root, stages, streams and models. check.py reads them as signatures.
Trainer, evaluate and runtime are in engine/settings.py, the view of data in data/view.py."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from transfer_cli.ranges import Range

Rule = Literal[
    "final", "source_val", "target_val", "entropy", "information", "bnm", "snd", "dev", "knn", "mmd"
]  # the rules of selection_rules.py, except the oracle


@dataclass(frozen=True, kw_only=True)
class Root:
    """The keys at the top level that are not nodes. `expect`: the expected result of an experiment: empty, or an
    Expect."""

    stages: list[str]
    seed: Annotated[int, Range(0)] = 0
    oracle: bool = False
    weights: str = "none"
    plugins: list[str] = field(default_factory=list)
    strategy: str = "fine_tune"
    expect: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Expect:
    """The expected result of an experiment: the mean of `metric` by `rule` over the seeds 0 to n - 1 is `value`, within
    `tolerance`. `source`: where the value comes from. `words`: words for a short version of the experiment."""

    metric: str
    rule: Rule
    value: float
    tolerance: Annotated[float, Range(0)]
    n: Annotated[int, Range(1)]
    source: str
    words: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The reserved keys of every stage. `seed` null or `same`: the seed of the run. `trainer` and `feeds`: settings for
    this stage only. `marks` T: T evenly spaced snapshots are stored and scored; the last is the final one."""

    seed: Annotated[int, Range(0)] | Literal["same"] | None = None
    rule: Rule = "final"
    trainer: dict[str, Any] = field(default_factory=dict)
    feeds: dict[str, Any] = field(default_factory=dict)
    marks: Annotated[int, Range(1)] | None = None


@dataclass(frozen=True, kw_only=True)
class Loader:
    """The settings of one stream of a method. `batch` null: that of the trainer. `sampler`: chooses the rows of a
    batch; null: every row once per epoch, in random order. The settings of the sampler are given next to it."""

    batch: Annotated[int, Range(1)] | None = None
    sampler: str | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """The keys of every model, in addition to those of its family. `precision` auto: bf16 if the machine supports it,
    see plan/precision.py."""

    input: dict[str, Any]
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    channels_last: bool = False
