"""transfer compare: runs side by side, grouped over seeds, with tests against a baseline. Reads results.json files; of
the store only the scores of single test rows, where all runs have one seed."""

from pathlib import Path

from transfer_cli.analysis.comparison import Ask, study
from transfer_cli.analysis.results import Run, listing
from transfer_cli.cli.options import Options
from transfer_cli.cli.watch import shown
from transfer_cli.report.compare_table import compare
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Table, arranged
from transfer_cli.runner.run_selection import chosen


def main(options: Options) -> int:
    """Example: transfer compare data=usps strategy=scratch,fine_tune"""
    screen = Screen.of(options)
    if options.plot is not None:
        _draw(options, screen, options.plot)
    return shown(options, screen, lambda: _table(options, screen))


def _table(options: Options, screen: Screen) -> Table:
    found = compare(readable(options, screen), ask(options), lambda: listing(options.runs))
    return arranged(found, options.sort, options.limit, options.columns)


def ask(options: Options) -> Ask:
    """What the options want of a comparison."""
    return Ask(options.metric or "", options.rule, options.by, options.baseline, options.interval)


def readable(options: Options, screen: Screen) -> list[Run]:
    """The runs asked for; of one whose results.json cannot be read its name is told."""
    runs = chosen(options)
    for run in runs:
        if not run.is_readable:
            why = f": {run.fault}" if run.fault else ""
            screen.note(f"run {run.id}: left out, its results.json cannot be read{why}")
    return runs


def _draw(options: Options, screen: Screen, path: Path) -> None:
    from transfer_cli.report.plots import draw

    draw(study(readable(options, screen), ask(options)), path)
    screen.note(f"written: {path}")
