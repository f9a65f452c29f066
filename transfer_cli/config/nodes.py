"""Settings of the configuration itself, as signatures that check.py reads: the root, a stage's reserved keys, a model's
input. Trainer, evaluate and runtime stand in engine/settings.py, views of data in data/view.py."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from transfer_cli.ranges import Range

Rule = Literal[
    "final", "source_val", "target_val", "entropy", "information", "bnm", "snd", "dev", "knn", "mmd"
]  # rules.py, but the oracle


@dataclass(frozen=True, kw_only=True)
class Root:
    """Keys beside the nodes. `expect` is what an experiment should reach: empty, or an Expect."""

    stages: list[str]
    seed: Annotated[int, Range(0)] = 0
    oracle: bool = False
    weights: str = "none"
    plugins: list[str] = field(default_factory=list)
    strategy: str = "fine_tune"
    expect: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Expect:
    """What an experiment should reach: the mean of `metric` under `rule` over seeds 0 to n - 1 is `value`, give or take
    `tolerance`; `source` says where the number comes from. `words` are laid over the experiment: its short version."""

    metric: str
    rule: Rule
    value: float
    tolerance: Annotated[float, Range(0)]
    n: Annotated[int, Range(1)]
    source: str
    words: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Reserved keys of every stage. `seed` null and `same`: the run's. `trainer` and `feeds` change this stage only.
    `marks` T: so many evenly spaced snapshots are handed on and scored, the last of them the final one."""

    seed: Annotated[int, Range(0)] | Literal["same"] | None = None
    rule: Rule = "final"
    trainer: dict[str, Any] = field(default_factory=dict)
    feeds: dict[str, Any] = field(default_factory=dict)
    marks: Annotated[int, Range(1)] | None = None


@dataclass(frozen=True, kw_only=True)
class Loader:
    """Settings of one stream of a method. `batch` null: the trainer's. `sampler` decides which rows make a batch, null:
    every row once an epoch, in random order; its own settings stand beside it."""

    batch: Annotated[int, Range(1)] | None = None
    sampler: str | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """Keys of every model beside its family's own. `precision` auto: bf16 where the machine has it,
    see plan/precision.py."""

    input: dict[str, Any]
    precision: Literal["auto", "fp32", "bf16"] = "fp32"
    channels_last: bool = False
