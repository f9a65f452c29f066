"""The runs that a command line wants compared, and how: shared by `compare` and `report`."""

from typing import Any

from transfer_cli.analysis.comparison import Ask
from transfer_cli.report.screen import Screen
from transfer_cli.runner.options import Options
from transfer_cli.runner.run_selection import chosen


def ask(options: Options) -> Ask:
    """Metric, rule, groups, baseline and kind of interval of a comparison."""
    return Ask(options.metric or "", options.rule, options.by, options.baseline, options.interval)


def comparable_runs(options: Options, screen: Screen) -> list[dict[str, Any]]:
    """The runs asked for; a run whose results.json cannot be read is left out, with a note."""
    readable = []
    for run in chosen(options):
        if "config" in run and "choices" in run:
            readable.append(run)
        else:
            screen.note(f"run {run['id']}: left out, its results.json cannot be read")
    return readable
