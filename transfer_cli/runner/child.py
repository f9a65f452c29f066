"""One run of a sweep, in a process that a launcher started: it plans and computes the run from its words. Its output
goes to the log of the run; its progress goes to a file in the run's directory, which the sweep reads."""

import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path

from transfer_cli.config.compose import load
from transfer_cli.runner.guarded import guarded
from transfer_cli.runner.options import Options
from transfer_cli.runner.planning import plan_one
from transfer_cli.runner.processes import launch, to_start
from transfer_cli.runner.single_run import run_of_sweep, stop_of
from transfer_cli.signals import Stop


def child(words: tuple[str, ...], options: Options, sweep: str, home: Path, began: float | None) -> int:
    """Computes the run whose directory `home` the sweep has created; returns its exit code. runtime.max_time counts
    from `began`, the start of the sweep (time.monotonic), or from now if that is None."""
    _print_to(home / "log.txt")
    Stop().watch()  # handles signals until the plan exists
    _leave_interrupts()

    def run() -> int:
        plan = plan_one(load(words, config_dirs=options.config_dirs), options)
        since = time.monotonic() if began is None else began
        if to_start(plan):
            return launch(plan, options, sweep, since)
        stop = stop_of(plan, since)
        _leave_interrupts()
        return run_of_sweep(plan, options, sweep, stop)

    try:
        return guarded(run, debug=options.debug, as_json=False)
    except SystemExit:  # a method raised it, so its code is not an exit code of this program
        return 1


def _leave_interrupts() -> None:
    """Ignores Ctrl-C in this process: the sweep receives it too, and passes it on."""
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _print_to(log: Path) -> None:
    """Redirects stdout and stderr to the log: warnings of libraries, errors before the run starts, crash messages."""
    sys.stdout.flush()
    sys.stderr.flush()
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
