"""The runs that a command line compares, and the settings of the comparison. Used by `compare` and `report`."""

from transfer_cli.analysis.comparison import Ask
from transfer_cli.analysis.results import Run
from transfer_cli.report.screen import Screen
from transfer_cli.runner.options import Options
from transfer_cli.runner.run_selection import chosen


def ask(options: Options) -> Ask:
    """Metric, rule, groups, baseline and kind of interval of a comparison."""
    return Ask(options.metric or "", options.rule, options.by, options.baseline, options.interval)


def comparable_runs(options: Options, screen: Screen) -> list[Run]:
    """The selected runs. A run whose results.json cannot be read is named in a note; it has a row in the table but does
    not count."""
    runs = chosen(options)
    for run in runs:
        if not run.is_readable:
            why = f": {run.fault}" if run.fault else ""
            screen.note(f"run {run.id}: left out, its results.json cannot be read{why}")
    return runs
