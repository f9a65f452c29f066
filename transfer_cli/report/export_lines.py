"""The output of `transfer export` on the file that it wrote: its size, its inputs, and how much its answers differ from
those of the run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfer_cli.analysis import numbers
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.safe import shown

COLUMNS = (
    Column("path"),
    Column("format"),
    Column("bytes"),
    Column("rows"),
    Column("equal"),
    Column("max_difference"),
    Column("latency", unit="s"),
    Column("latency_run", unit="s"),
)


def show_export(note: Mapping[str, Any], path: Path, screen: Screen) -> None:
    """Shows the result of an export. `note`: the content of the JSON file that is written next to the exported file."""
    check = note["check"]
    if screen.json:
        screen.answer({**note, "path": str(path)})
        return
    if screen.format != "table":
        row = {**note, **check, "latency": check["latency_s"], "latency_run": check["latency_run_s"], "path": str(path)}
        screen.show(Table(COLUMNS, [row], schema="export/1"))
        return
    inputs = ", ".join(f"{name} [{','.join(map(str, shape))}]" for name, shape in note["inputs"].items())
    deviation = f"max {check['max_difference']:.1g}"
    deviation += f", allowed {check['allowed']:.1g}" if check["allowed"] is not None else ""
    equal = f"{check['equal']:,} of {check['rows']:,} answers equal ({deviation})"
    screen.say(f"{shown(path)}  {numbers.size(note['bytes'])}, {inputs}; {equal}")
    times = [f"{1000 * check[name]:.2g} ms" for name in ("latency_s", "latency_run_s")]
    threads = f"{check['threads']} thread{'s' * (check['threads'] != 1)}"
    screen.say(f"one row {times[0]}, the run's own net {times[1]} (medians of 50, {threads})")
    screen.say(f"classes and what to do to the inputs: {shown(path)}.json")
