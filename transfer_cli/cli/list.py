"""transfer list: runs, sweeps, or the options of a group. Its imports are light."""

from collections.abc import Callable

from transfer_cli.analysis.results import read
from transfer_cli.analysis.sweeps import sweeps
from transfer_cli.cli.watch import shown
from transfer_cli.config import folders
from transfer_cli.errors import ConfigError, Fault, nearest
from transfer_cli.report.list_tables import runs_table, sweeps_table
from transfer_cli.report.option_tables import options_of_group, strategies
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Table, arranged
from transfer_cli.rundir import rundir
from transfer_cli.runner.options import Options
from transfer_cli.runner.run_selection import queried

NEWEST = 20
PLURALS = {"strategies": "strategy", "data": "data"} | {
    f"{group}s": group for group in folders.GROUPS if group not in ("strategy", "data")
}


def main(options: Options) -> int:
    """Example: transfer list strategies"""
    screen, group = Screen.of(options), _group(options)
    every = bool(options.all or options.sort or options.limit is not None or screen.format != "table")
    tables: dict[str, Callable[[], Table]] = {
        "runs": lambda: _runs(options, every),
        "sweeps": lambda: _sweeps(options, every),
        "strategy": lambda: strategies(options.config_dirs),
    }
    table = tables.get(group, lambda: options_of_group(group, options.config_dirs))
    return shown(options, screen, lambda: arranged(table(), options.sort, options.limit, options.columns))


def groups() -> list[str]:
    """The groups that `transfer list` accepts."""
    return ["runs", "sweeps", *sorted(PLURALS)]


def _group(options: Options) -> str:
    """The group to list. Raises ConfigError for an unknown group, and for words (a query) where the group is not
    runs."""
    name = options.args[0] if options.args else "runs"
    group = PLURALS.get(name, name)
    stray = [*options.args[1:], *(options.words if group != "runs" else ())]
    if stray:
        raise ConfigError(Fault("list", "takes one group: " + ", ".join(groups()), stray[-1]))
    if group not in (*folders.GROUPS, "runs", "sweeps"):
        raise ConfigError(Fault("list", "no such group", name, tuple(groups()), nearest(name, groups())))
    return group


def _runs(options: Options, every: bool) -> Table:
    """A table of the newest 20 runs, or of `every` run; only runs that match the words of the query, if there are
    any."""
    paths = rundir.folders(options.runs)[::-1]
    is_query = options.words or options.without
    matches = queried(map(read, paths if every or is_query else paths[:NEWEST]), options.words, options.without)
    chosen = matches if every else matches[:NEWEST]
    hidden = len(matches if is_query else paths) - len(chosen)
    notes = [f"{hidden:,} older runs: --all"] if hidden else []
    return runs_table(chosen, notes if paths else [f"no runs in {options.runs} yet"])


def _sweeps(options: Options, every: bool) -> Table:
    return sweeps_table(sweeps(options.runs, None if every else NEWEST), f"no sweeps in {options.runs} yet")
