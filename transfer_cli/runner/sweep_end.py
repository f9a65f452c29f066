"""The end of a sweep: the tables of runs that are done, the runs that failed, and the error that names them."""

from collections.abc import Callable, Sequence

from transfer_cli.analysis.groups import by_test
from transfer_cli.analysis.results import Run, read
from transfer_cli.errors import Fault, SweepError
from transfer_cli.report.compare_table import compare
from transfer_cli.report.screen import Screen
from transfer_cli.report.sweep_table import failures
from transfer_cli.report.tables import Table
from transfer_cli.rundir.sweepdir import Row, SweepDir
from transfer_cli.runner.options import Options
from transfer_cli.safe import shown


def compared(runs: Sequence[Run]) -> list[Table]:
    """One table for each set of test rows, because results on different rows must not share a table."""
    return [compare(part) for part in by_test(runs)]


def finish(
    ledger: SweepDir, options: Options, screen: Screen, answer: Callable[[list[Run]], list[Table]] = compared
) -> int:
    """Shows the tables of the runs that are done, which `answer` builds from the results, or with --json the ledger;
    then the runs that failed. Returns 0. Raises SweepError if any run is not done."""
    ledger.keep()  # the terminal that kept it may have exited
    rows = ledger.rows
    failed = [row for row in rows if row["state"] != "done"]
    results = [read(options.runs / row["path"]) for row in rows if row["path"]]
    ledger.close(*(("failed", SweepError.code) if failed else ("done", 0)))
    if screen.json:
        screen.answer(ledger.data)
    elif any(run.is_done for run in results):
        screen.show(*answer(results))
    if not failed:
        return 0
    to_do = sum(row["state"] == "to do" for row in rows)
    logs = {row["path"]: shown(options.runs / row["path"] / "log.txt") for row in failed if row["path"]}
    total = Fault(
        f"sweep {ledger.id}",
        f"{len(rows) - len(failed)} of {len(rows)} done, {len(failed) - to_do} failed"
        + f", {to_do} to do" * bool(to_do),
        do=f"transfer resume {ledger.id} --retry-failed",
    )
    if not screen.json:
        screen.note_table(failures(rows, logs))
        raise SweepError(total)
    raise SweepError(total, *(_failed(row, logs) for row in failed))


def _failed(row: Row, logs: dict[str, str]) -> Fault:
    """A failed run as a fault of the JSON error document."""
    return Fault(" ".join(row["words"]), f"{row['state']} [{row['code']}]: {logs.get(row['path'], row.get('fault'))}")
