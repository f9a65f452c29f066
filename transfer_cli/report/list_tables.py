"""Runs and sweeps as tables, newest first. Reads no files itself."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from transfer_cli.analysis import numbers, run_labels
from transfer_cli.analysis.results import Run
from transfer_cli.analysis.sweeps import Sweep
from transfer_cli.report.labels import value_text
from transfer_cli.report.tables import Column, Table


def runs_table(runs: Sequence[Run], notes: Sequence[str]) -> Table:
    """One line for each run: when it started, its words, how it ended, its headline."""
    columns = [
        Column("run"),
        Column("started", only="screen"),
        Column("time", only="machine"),
        Column("strategy"),
        Column("data"),
        Column("state", state=True),
        Column("metric", only="machine"),
        Column("headline", head="headline", align="right", only="screen"),
        Column("value", interval=True, ends=("lo", "hi"), only="machine"),
        Column("cost", "s"),
        *([Column("why", wraps=True)] if any(run.is_unreadable for run in runs) else []),
        Column("note", wraps=True, only=None if any(run.note for run in runs) else "machine"),
        Column("path", only="machine"),
        Column("stages", only="json"),
    ]
    now = datetime.now(UTC)
    last = f"transfer show {runs[0].id}" if runs else "transfer run experiment=hello"
    return Table(columns, [_run(run, now) for run in runs], notes=notes, next=last, schema="list/1")


def sweeps_table(sweeps: Sequence[Sweep], without: str) -> Table:
    """One line for each sweep: when it started, its words, how many of its runs are done. `without`: the note if there
    is no sweep."""
    columns = [
        Column("sweep"),
        Column("started", only="screen"),
        Column("time", only="machine"),
        Column("runs", "n"),
        Column("done", "n"),
        Column("state", state=True),
        Column("words", wraps=True),
        Column("path", only="machine"),
    ]
    now = datetime.now(UTC)
    do = "compare" if sweeps and sweeps[0].status == "done" else "resume"
    last = f"transfer {do} {sweeps[0].id}" if sweeps else ""
    return Table(
        columns, [_sweep(sweep, now) for sweep in sweeps], notes=[] if sweeps else [without], next=last, schema="list/1"
    )


def _run(run: Run, now: datetime) -> dict[str, Any]:
    metric = run.headline.metric if run.headline is not None else None
    return {
        "run": run.id,
        "started": _ago(run.started, now),
        "time": run.started or None,
        "strategy": run.choices.get("strategy", run.name),
        "data": run_labels.data(run) if run.choices else "",
        "state": _state(run),
        "metric": run.part + metric.name if metric else None,
        "headline": f"{metric.measure.label} {value_text(metric.interval, metric.measure)}" if metric else "",
        "value": metric.interval if metric else None,
        "cost": run.cost.get("seconds"),
        "why": run.fault if run.is_unreadable else "",
        "note": run.note,
        "path": str(run.path),
        "stages": {stage.name: stage.key or None for stage in run.stages},
    }


def _sweep(sweep: Sweep, now: datetime) -> dict[str, Any]:
    return {
        "sweep": sweep.id,
        "started": _ago(sweep.started, now),
        "time": sweep.started or None,
        "runs": len(sweep.rows),
        "done": sum(row.state == "done" for row in sweep.rows),
        "state": _state(sweep),
        "words": " ".join(sweep.words) or sweep.fault,
        "path": str(sweep.path),
    }


def _state(record: Run | Sweep) -> str:
    return f"{record.status} [{record.code}]" if record.code else record.status


def _ago(started: str, now: datetime) -> str:
    """`12 min ago`; empty if the time cannot be parsed, so that the run is still listed."""
    try:
        return numbers.ago(numbers.utc(started), now)
    except ValueError:
        return ""
