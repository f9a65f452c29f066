"""Settings of trainer, evaluation and runtime: keys, types, ranges and defaults. No torch."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from transfer_cli.ranges import Range


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """How a stage is trained. Part of the stage key. `precision` null: that of the model. `warmup`: fraction of the
    steps; `clip`: the largest norm of the gradient; `accumulate`: micro-batches per step; `validations`: the number of
    validations during training."""

    steps: Annotated[int, Range(1)] = 1000
    batch: Annotated[int, Range(1)] = 128
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Annotated[float, Range(0)] = 0.05
    momentum: Annotated[float, Range(0, 1)] = 0.9
    weight_decay: Annotated[float, Range(0)] = 0.0005
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warmup: Annotated[float, Range(0, 1)] = 0.05
    clip: Annotated[float, Range(0, above=True)] | None = None
    accumulate: Annotated[int, Range(1)] = 1
    precision: Literal["fp32", "bf16"] | None = None
    validations: Annotated[int, Range(0)] = 10


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Which part of the target is scored, and how. `part` val: for a search, which selects by the score. `way` null:
    all classes together; otherwise few-shot episodes of `way` classes. `views`: what is scored in addition to all rows
    of the part: domains, classes, {classes: [[0, 1], [2, 3]]}, fgsm, pgd or {attack: pgd, eps: 0.1, steps: 10}."""

    part: Literal["test", "val"] = "test"
    way: Annotated[int, Range(2)] | None = None
    shots: Annotated[int, Range(1)] = 5
    queries: Annotated[int, Range(1)] = 15
    draws: Annotated[int, Range(1)] = 600
    views: list[str | dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """Where a run is computed and how it is saved and displayed; not part of any key. `processes` auto: one per GPU, or
    2 without a GPU. `shard`: parameters are distributed over the processes. `save_every`: seconds between resume files.
    `max_time`: a duration such as 2h or 90m. `launcher`: what starts the runs of a sweep. `cluster`, `partition`,
    `time` (minutes), `memory` (GB) and `gpus` are settings of cluster jobs; null: the default of the cluster."""

    device: Literal["auto", "cpu", "gpu"] = "auto"
    threads: Annotated[int, Range(1)] | Literal["auto"] = "auto"
    processes: Annotated[int, Range(1)] | Literal["auto"] = 1
    shard: bool = False
    save_every: Annotated[float, Range(0)] = 60.0
    max_time: str | None = None
    tracker: Literal["none", "tensorboard", "mlflow", "wandb"] = "none"
    launcher: Literal["local", "slurm", "ray"] = "local"
    cluster: Literal["slurm", "local"] = "slurm"
    partition: str | None = None
    time: Annotated[int, Range(1)] = 240
    memory: Annotated[float, Range(0, above=True)] | None = None
    gpus: Annotated[int, Range(0)] | None = None
