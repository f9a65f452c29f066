"""transfer compare: shows runs side by side, grouped over seeds, with tests against a baseline. It reads results.json
files; from the store it reads only the scores of single test rows, and only where every group has one seed."""

from pathlib import Path

from transfer_cli.analysis.comparison import study
from transfer_cli.analysis.results import listing
from transfer_cli.cli.watch import shown
from transfer_cli.report.compare_table import compare
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Table, arranged
from transfer_cli.runner.comparing import ask, comparable_runs
from transfer_cli.runner.options import Options


def main(options: Options) -> int:
    """Example: transfer compare data=usps strategy=scratch,fine_tune"""
    screen = Screen.of(options)
    if options.plot is not None:
        _draw(options, screen, options.plot)
    return shown(options, screen, lambda: _table(options, screen))


def _table(options: Options, screen: Screen) -> Table:
    table = compare(comparable_runs(options, screen), ask(options), lambda: listing(options.runs))
    return arranged(table, options.sort, options.limit, options.columns)


def _draw(options: Options, screen: Screen, path: Path) -> None:
    from transfer_cli.report.plots import draw

    draw(study(comparable_runs(options, screen), ask(options)), path)
    screen.note(f"written: {path}")
