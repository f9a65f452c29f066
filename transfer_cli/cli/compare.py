"""transfer compare: runs side by side, grouped over seeds. Reads results.json files only."""

from transfer_cli.cli.options import Options
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.report.compare import compare
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import arranged
from transfer_cli.rundir import rundir


def main(options: Options) -> int:
    """Example: transfer compare last:3"""
    if options.words:
        raise ConfigError(Fault(options.words[0], "compare takes runs: last:3, an id, a path or a 'glob*'"))
    found = [path for ref in options.args or ("last",) for path in rundir.find(options.runs, ref)]
    runs = [rundir.summary(path) for path in dict.fromkeys(found)]
    readable = [run for run in runs if "config" in run and "choices" in run]
    screen = Screen.of(options)
    for run in runs:
        if run not in readable:
            screen.note(f"run {run['id']}: left out, its results.json cannot be read")
    screen.show(arranged(compare(readable), options.sort, options.limit))
    return 0
