"""Trackers: a finished run told to TensorBoard, MLflow or Weights & Biases, out of the rows and results it left.
Files of the run directory stay the truth; no tracker is ever needed, and one that fails costs no run."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from transfer_cli.analysis.results import Run

BATCH = 1000  # metrics in one call of MLflow: its limit
TEXT = 500  # characters of a setting


@dataclass(frozen=True)
class Told:
    """What a tracker gets to hear. `settings`: flat, as text; `points`: (name, step, value) in order, names like
    `fine_tune/loss`; `metrics`: of the headline's rule; `folder`: of the run, `runs`: of all."""

    id: str
    name: str
    settings: dict[str, str]
    points: list[tuple[str, int, float]]
    metrics: dict[str, float]
    folder: Path
    runs: Path


def track(kind: str, folder: Path, runs: Path, run: Run) -> None:
    """Tells the run in `folder` to the tracker `kind`; "none" hears nothing. Raises whatever the tracker raises."""
    if kind != "none":
        TRACKERS[kind](_told(folder, runs, run))


def _told(folder: Path, runs: Path, run: Run) -> Told:
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    step = run.step(run.rule)
    scores = run.scores()
    metrics = {run.part + name: metric.value for name, metric in scores.items()}
    metrics |= {f"{run.part}{name}_ci95": metric.half for name, metric in scores.items() if isfinite(metric.half)}
    return Told(
        run.id,
        run.name,
        {name: str(value)[:TEXT] for name, value in _flat(run.config)},
        [point for row in rows for point in _points(row)],
        metrics | ({} if step is None else {"step": float(step)}),
        folder,
        runs,
    )


def _flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _points(row: Mapping[str, Any]) -> Iterator[tuple[str, int, float]]:
    for name, value in row.items():
        if name not in ("stage", "step") and isinstance(value, int | float):
            yield f"{row['stage']}/{name}", int(row["step"]), float(value)


def tensorboard(told: Told) -> None:
    """Event files in the run's folder `tensorboard`: `tensorboard --logdir runs`. Without torch."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(told.folder / "tensorboard"))
    for name, step, value in [*told.points, *((name, 0, value) for name, value in told.metrics.items())]:
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
        writer.add_event(Event(step=step, summary=summary))
    writer.close()


def mlflow(told: Told) -> None:
    """A run of the experiment `transfer`, in `runs/mlflow.db` unless MLFLOW_TRACKING_URI says where. MLflow's own
    spelling of names is narrower than ours: what it does not know becomes `_`."""
    import time

    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    where = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{told.runs.resolve() / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=where)
    experiment = client.get_experiment_by_name("transfer")
    home = experiment.experiment_id if experiment else client.create_experiment("transfer")
    run = client.create_run(home, run_name=f"{told.name} {told.id}").info.run_id
    now = int(time.time() * 1000)
    params = [Param(_spelt(name), value) for name, value in told.settings.items()]
    points = [*told.points, *((name, 0, value) for name, value in told.metrics.items())]
    metrics = [Metric(_spelt(name), value, now, step) for name, step, value in points]
    for at in range(0, len(params), 100):
        client.log_batch(run, params=params[at : at + 100])
    for at in range(0, len(metrics), BATCH):
        client.log_batch(run, metrics=metrics[at : at + BATCH])
    client.set_terminated(run)


def _spelt(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-. /") else "_" for c in name)


def wandb(told: Told) -> None:
    """A run of the project `transfer`, kept in the run's folder `wandb` (`wandb sync` sends it) unless WANDB_MODE says
    otherwise. Every stage has a step of its own."""
    import wandb as library

    mode: Any = os.environ.get("WANDB_MODE") or "offline"  # what the library does not know it says itself
    run = library.init(
        project="transfer",
        name=f"{told.name} {told.id}",
        dir=str(told.folder),
        config=told.settings,
        mode=mode,
        settings=library.Settings(silent=True, console="off"),
    )
    for stage in dict.fromkeys(name.partition("/")[0] for name, _, _ in told.points):
        run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
    for name, step, value in told.points:
        run.log({name: value, f"{name.partition('/')[0]}/step": step})
    run.summary.update(told.metrics)
    run.finish()


TRACKERS: dict[str, Callable[[Told], None]] = {"tensorboard": tensorboard, "mlflow": mlflow, "wandb": wandb}
