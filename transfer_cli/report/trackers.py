"""Trackers: report a finished run to TensorBoard, MLflow or Weights & Biases, from its logged rows and results. The
files of the run directory stay authoritative; no tracker is required, and a failed one does not fail the run."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from transfer_cli.analysis.results import Run

BATCH = 1000  # metrics in one call of MLflow: its limit
TEXT = 500  # the most characters of a setting


@dataclass(frozen=True)
class TrackedRun:
    """The data of a run for a tracker. `settings`: dotted keys with values as text; `points`: (name, step, value) in
    order, with names like `fine_tune/loss`; `metrics`: those under the rule of the headline; `folder`: the directory of
    the run; `runs`: the folder of all runs."""

    id: str
    name: str
    settings: dict[str, str]
    points: list[tuple[str, int, float]]
    metrics: dict[str, float]
    folder: Path
    runs: Path


def track(kind: str, folder: Path, runs: Path, run: Run) -> None:
    """Reports the run in `folder` to the tracker `kind`; "none" does nothing. Raises whatever the tracker raises."""
    if kind != "none":
        TRACKERS[kind](_tracked_run(folder, runs, run))


def _tracked_run(folder: Path, runs: Path, run: Run) -> TrackedRun:
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    step = run.step(run.rule)
    scores = run.scores()
    metrics = {run.part + name: metric.value for name, metric in scores.items()}
    metrics |= {f"{run.part}{name}_ci95": metric.half for name, metric in scores.items() if isfinite(metric.half)}
    return TrackedRun(
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


def tensorboard(run: TrackedRun) -> None:
    """Writes event files into the run's folder `tensorboard`, for `tensorboard --logdir runs`. Needs no torch."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(run.folder / "tensorboard"))
    for name, step, value in [*run.points, *((name, 0, value) for name, value in run.metrics.items())]:
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value)])
        writer.add_event(Event(step=step, summary=summary))
    writer.close()


def mlflow(run: TrackedRun) -> None:
    """Adds a run to the experiment `transfer`, in `runs/mlflow.db` unless MLFLOW_TRACKING_URI is set. Characters that
    MLflow does not allow in names become `_`."""
    import time

    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    where = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{run.runs.resolve() / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=where)
    experiment = client.get_experiment_by_name("transfer")
    home = experiment.experiment_id if experiment else client.create_experiment("transfer")
    run_id = client.create_run(home, run_name=f"{run.name} {run.id}").info.run_id
    now = int(time.time() * 1000)
    params = [Param(_spelt(name), value) for name, value in run.settings.items()]
    points = [*run.points, *((name, 0, value) for name, value in run.metrics.items())]
    metrics = [Metric(_spelt(name), value, now, step) for name, step, value in points]
    for at in range(0, len(params), 100):
        client.log_batch(run_id, params=params[at : at + 100])
    for at in range(0, len(metrics), BATCH):
        client.log_batch(run_id, metrics=metrics[at : at + BATCH])
    client.set_terminated(run_id)


def _spelt(name: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-. /") else "_" for c in name)


def wandb(run: TrackedRun) -> None:
    """Adds a run to the project `transfer`. It is stored in the run's folder `wandb`, from which `wandb sync` uploads
    it, unless WANDB_MODE is set. Every stage has its own step."""
    import wandb as library

    mode: Any = os.environ.get("WANDB_MODE") or "offline"  # the library itself rejects an unknown mode
    wandb_run = library.init(
        project="transfer",
        name=f"{run.name} {run.id}",
        dir=str(run.folder),
        config=run.settings,
        mode=mode,
        settings=library.Settings(silent=True, console="off"),
    )
    for stage in dict.fromkeys(name.partition("/")[0] for name, _, _ in run.points):
        wandb_run.define_metric(f"{stage}/*", step_metric=f"{stage}/step")
    for name, step, value in run.points:
        wandb_run.log({name: value, f"{name.partition('/')[0]}/step": step})
    wandb_run.summary.update(run.metrics)
    wandb_run.finish()


TRACKERS: dict[str, Callable[[TrackedRun], None]] = {"tensorboard": tensorboard, "mlflow": mlflow, "wandb": wandb}
