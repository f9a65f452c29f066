"""Runs and sweeps as tables, newest first. Reads nothing itself: it is given summaries of results.json and
sweep.json."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from transfer_cli.analysis import numbers, run_labels
from transfer_cli.analysis.statistics import Interval, inside, measured
from transfer_cli.report.tables import Column, Table

Record = Mapping[str, Any]


def runs_table(runs: Sequence[Record], notes: Sequence[str]) -> Table:
    """A line a run: when, what, how it ended, its headline."""
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
        Column("note", wraps=True, only=None if any(run.get("note") for run in runs) else "machine"),
        Column("path", only="machine"),
        Column("stages", only="json"),
    ]
    now = datetime.now(UTC)
    last = f"transfer show {runs[0]['id']}" if runs else "transfer run experiment=hello"
    return Table(columns, [_run(run, now) for run in runs], notes=notes, next=last, schema="list/1")


def sweeps_table(sweeps: Sequence[Record], notes: Sequence[str]) -> Table:
    """A line a sweep: when, its words, how many of its runs are done."""
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
    do = "compare" if sweeps and sweeps[0]["status"] == "done" else "resume"
    last = f"transfer {do} {sweeps[0]['id']}" if sweeps else ""
    return Table(columns, [_sweep(sweep, now) for sweep in sweeps], notes=notes, next=last, schema="list/1")


def _run(run: Record, now: datetime) -> dict[str, Any]:
    choices, started = run.get("choices") or {}, run.get("started")
    head = run.get("headline") or {}
    value = measured(head["value"], head.get("ci95"), head) if head else None
    return {
        "run": run["id"],
        "started": _ago(started, now),
        "time": started,
        "strategy": choices.get("strategy", run["name"]),
        "data": run_labels.data(dict(run)) if choices else "",
        "state": _state(run),
        "metric": head.get("name"),
        "headline": f"{run_labels.label(head['name'])} {_number(value, head['name'])}" if value else "",
        "value": inside(value) if value and run_labels.is_share(head["name"]) else value,
        "cost": (run.get("cost") or {}).get("seconds"),
        "note": run.get("note"),
        "path": run.get("path"),
        "stages": {stage["name"]: stage["key"] for stage in run.get("stages") or []},
    }


def _sweep(sweep: Record, now: datetime) -> dict[str, Any]:
    rows, started = sweep.get("runs") or [], sweep.get("started")
    return {
        "sweep": sweep["id"],
        "started": _ago(started, now),
        "time": started,
        "runs": len(rows),
        "done": sum(row.get("state") == "done" for row in rows),
        "state": _state(sweep),
        "words": " ".join(sweep.get("words") or []),
        "path": sweep["path"],
    }


def _state(record: Record) -> str:
    return f"{record['status']} [{record['code']}]" if record.get("code") else str(record["status"])


def _number(value: Interval, name: str) -> str:
    return numbers.plus_minus(value, scale=100 if run_labels.is_share(name) else 1)


def _ago(started: Any, now: datetime) -> str:
    """`12 min ago`; empty where the time cannot be read, so that the run is still listed."""
    try:
        return numbers.ago(numbers.utc(str(started)), now)
    except ValueError:
        return ""
