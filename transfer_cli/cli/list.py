"""transfer list: runs, or the options of a group. Reads YAML files as text and results.json; imports nothing heavy."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from transfer_cli.analysis import numbers, run_labels
from transfer_cli.analysis.results import Run, read
from transfer_cli.analysis.sweeps import Sweep
from transfer_cli.analysis.sweeps import sweeps as all_sweeps
from transfer_cli.cli.options import Options
from transfer_cli.cli.watch import shown as show
from transfer_cli.config import folders
from transfer_cli.errors import ConfigError, Fault, nearest
from transfer_cli.report.labels import value_text
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table, arranged
from transfer_cli.rundir import rundir
from transfer_cli.rundir.runs import UNREADABLE
from transfer_cli.runner.run_selection import queried

NEWEST = 20
PLURALS = {"strategies": "strategy", "data": "data"} | {
    f"{group}s": group for group in folders.GROUPS if group not in ("strategy", "data")
}
OVERRIDE = re.compile(r"^\s*-\s*(?:override\s+)?/?(?:method@(\w+)|(predictor)@\S+):\s*(\S+)", re.MULTILINE)
EXAMPLE = Column("example", only="machine")
SLOTS = ("pretrain", "align", "fine_tune", "predictor")


def main(options: Options) -> int:
    """Example: transfer list strategies"""
    screen, group = Screen.of(options), _group(options)
    made: dict[str, Callable[[], Table]] = {
        "runs": lambda: runs(options, screen),
        "sweeps": lambda: sweeps(options, screen),
        "strategy": lambda: strategies(options),
    }
    make = made.get(group, lambda: plain(group, options))
    return show(options, screen, lambda: arranged(make(), options.sort, options.limit, options.columns))


def _group(options: Options) -> str:
    """What to list. Raises ConfigError; words are a query, which only runs answer."""
    asked = options.args[0] if options.args else "runs"
    group = PLURALS.get(asked, asked)
    stray = [*options.args[1:], *(options.words if group != "runs" else ())]
    if stray:
        raise ConfigError(Fault("list", "takes one group: " + ", ".join(groups()), stray[-1]))
    if group not in (*folders.GROUPS, "runs", "sweeps"):
        raise ConfigError(Fault("list", "no such group", asked, tuple(groups()), nearest(asked, groups())))
    return group


def groups() -> list[str]:
    """What may stand after `transfer list`."""
    return ["runs", "sweeps", *sorted(PLURALS)]


def plain(group: str, options: Options) -> Table:
    """Names and first comment lines of a group's options."""
    rows = [{group: name, **_described(group, name, options)} for name in folders.options(group, options.config_dirs)]
    word = "fine_tune" if group == "method" else group
    return Table(
        [Column(group), EXAMPLE, Column("what", head="", wraps=True)],
        rows,
        next=_example(rows, f"{word}="),
        schema="list/1",
    )


def strategies(options: Options) -> Table:
    """Strategies as what they choose, so that mixing them is obvious."""
    root = _slots((folders.conf_dir() / folders.ROOT).read_text(encoding="utf-8"))
    rows = []
    for name in folders.options("strategy", options.config_dirs):
        path = folders.find_option("strategy", name, options.config_dirs)
        chosen = _slots(path.read_text(encoding="utf-8")) if path else {}
        rows.append({"strategy": name, **root, **chosen, **_described("strategy", name, options)})
    columns = [Column("strategy"), *(Column(slot) for slot in SLOTS), EXAMPLE, Column("what", head="", wraps=True)]
    return Table(columns, rows, next=_example(rows, "strategy="), schema="list/1")


def _slots(text: str) -> dict[str, str]:
    return {method or predictor: name for method, predictor, name in OVERRIDE.findall(text)}


def _described(group: str, name: str, options: Options) -> dict[str, str]:
    """The comment line of a YAML: what it is, then, after wide space, a command."""
    what, _, example = folders.describe_option(group, name, options.config_dirs).partition("   ")
    return {"what": what, "example": example.strip()}


def _example(rows: list[dict[str, Any]], word: str) -> str:
    return next((row["example"] for row in rows if word in row["example"]), "")


def runs(options: Options, screen: Screen) -> Table:
    """Newest first; the newest 20 on a terminal, all of them for machines and with --all. Words choose among them."""
    paths = rundir.folders(options.runs)[::-1]
    every = _every(options, screen)
    asked = options.words or options.without
    found = queried([read(path) for path in (paths if every or asked else paths[:NEWEST])], options.words,
                    options.without)  # fmt: skip
    shown = found if every else found[:NEWEST]
    now = datetime.now(UTC)
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
        *([Column("why", wraps=True)] if any(run.status == UNREADABLE for run in shown) else []),
        Column("note", wraps=True, only=None if any(run.note for run in shown) else "machine"),
        Column("path", only="machine"),
        Column("stages", only="json"),
    ]
    left = len(found if asked else paths) - len(shown)
    notes = [f"{left:,} older runs: --all"] if left else []
    if not paths:
        notes = [f"no runs in {options.runs} yet"]
    last = f"transfer show {shown[0].id}" if shown else "transfer run experiment=hello"
    return Table(columns, [_row(run, now) for run in shown], notes=notes, next=last, schema="list/1")


def sweeps(options: Options, screen: Screen) -> Table:
    """Newest first; the newest 20 on a terminal."""
    limit = None if _every(options, screen) else NEWEST
    found, now = all_sweeps(options.runs, limit), datetime.now(UTC)
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
    notes = [] if found else [f"no sweeps in {options.runs} yet"]
    do = "compare" if found and found[0].status == "done" else "resume"
    last = f"transfer {do} {found[0].id}" if found else ""
    return Table(columns, [_sweep(sweep, now) for sweep in found], notes=notes, next=last, schema="list/1")


def _sweep(sweep: Sweep, now: datetime) -> dict[str, Any]:
    return {
        "sweep": sweep.id,
        "started": _when(lambda: numbers.ago(numbers.utc(sweep.started), now)),
        "time": sweep.started or None,
        "runs": len(sweep.rows),
        "done": sum(row.state == "done" for row in sweep.rows),
        "state": _state(sweep),
        "words": " ".join(sweep.words) or sweep.fault,
        "path": str(sweep.path),
    }


def _every(options: Options, screen: Screen) -> bool:
    return bool(options.all or options.sort or options.limit is not None or screen.format != "table")


def _state(record: Run | Sweep) -> str:
    return f"{record.status} [{record.code}]" if record.code else record.status


def _row(run: Run, now: datetime) -> dict[str, Any]:
    metric = run.headline.metric if run.headline is not None else None
    return {
        "run": run.id,
        "started": _when(lambda: numbers.ago(numbers.utc(run.started), now)),
        "time": run.started or None,
        "strategy": run.choices.get("strategy", run.name),
        "data": run_labels.data(run) if run.choices else "",
        "state": _state(run),
        "metric": run.part + metric.name if metric else None,
        "headline": f"{metric.measure.label} {value_text(metric.interval, metric.measure)}" if metric else "",
        "value": metric.interval if metric else None,
        "cost": run.cost.get("seconds"),
        "why": run.fault if run.status == UNREADABLE else "",
        "note": run.note,
        "path": str(run.path),
        "stages": {stage.name: stage.key or None for stage in run.stages},
    }


def _when(read: Callable[[], str]) -> str:
    """A run whose clock stamp cannot be read is still listed."""
    try:
        return read()
    except ValueError:
        return ""
