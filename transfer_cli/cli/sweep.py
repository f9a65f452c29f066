"""Several runs: each in a child of a fork server that has torch loaded, so that a run which dies takes nobody along.
The ledger is sweep.json; the same command again runs only what is missing. Runs that are all cached need no child."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Sequence
from multiprocessing.process import BaseProcess
from typing import Any

from transfer_cli.cli.leave import leave
from transfer_cli.cli.main import guarded
from transfer_cli.cli.options import Options
from transfer_cli.cli.processes import launch, to_start, world
from transfer_cli.cli.work import digest_of, is_cached, open_run, quiet_threads, stop_of, work
from transfer_cli.errors import ConfigError, Fault, ResourceError, Stopped, StoreError, SweepError
from transfer_cli.plan.plan import Plan
from transfer_cli.report import screens
from transfer_cli.report.compare import compare
from transfer_cli.report.live import Talk
from transfer_cli.report.screen import Screen
from transfer_cli.rundir.rundir import RunDir, SweepDir
from transfer_cli.rundir.runs import read_json
from transfer_cli.safe import hide_secrets, shown
from transfer_cli.signals import RELAY, TIME_UP, Stop

PRELOADED = [
    "transfer_cli.engine.stage",
    "transfer_cli.config.compose",
    "transfer_cli.cli.run",
    "transfer_cli.methods.supervised",
    "transfer_cli.report.figures",
    "matplotlib.backends.backend_agg",
    "hydra.core.override_parser.overrides_parser",
    "torch._dynamo",  # 1.7 s; the first optimiser imports it
]
STORE_WIDE = (StoreError.code, ResourceError.code)  # would befall every run: stop at once


def sweep(plans: Sequence[Plan], options: Options, screen: Screen) -> int:
    """Runs every plan in turn; returns the exit code (3: at least one failed, the others finished)."""
    if world() > 1:
        raise ConfigError(Fault("-m", "a sweep starts the processes of its runs itself", do="leave torchrun out"))
    stop, began = Stop().watch(), time.monotonic()
    rows = [{"words": hide_secrets(made.config.words)} for made in plans]
    ledger = SweepDir.open(options.runs, digest_of([made.values for made in plans]), words=options.words, rows=rows)
    screen.note(f"sweep {ledger.id}: {len(plans)} runs{', goes on' if ledger.continued else ''}")
    try:
        for number, made in enumerate(plans):
            stop()
            _next(number, made, ledger, options, screen, stop, began)
            if options.fail_fast and ledger.data["runs"][number]["code"]:
                break
        return _finish(ledger, options, screen)
    except Stopped as stopped:
        ledger.close("interrupted", stopped.code)
        screen.command(f"transfer resume {ledger.id}")
        raise


def _next(
    number: int, made: Plan, ledger: SweepDir, options: Options, screen: Screen, stop: Stop, began: float
) -> None:
    """One run of the sweep: skipped if the ledger has it done, else computed; the ledger says how it ended."""
    if _is_done(ledger.data["runs"][number], options):
        return
    run = open_run(made, options, sweep=ledger.id)
    ledger.start(number, run.path)
    screen.note(f"{number + 1}/{len(ledger.data['runs'])}  {' '.join(made.config.words)}  run {run.id}")
    if is_cached(made, options.runs) and not options.no_cache:
        code = guarded(lambda: _cached(made, run, options, stop), debug=options.debug, as_json=options.json)
    else:
        run.release()
        code = _in_child(made, options, ledger.id, stop, began)
    found = read_json(run.path / "results.json") or {}
    state = found.get("status", "failed") if code else "done"
    ledger.set(
        number, {"state": "died" if state == "running" else state, "code": code, "headline": found.get("headline")}
    )
    screen.note(screens.ended(found, code, run.path))
    if code == TIME_UP:
        raise Stopped(code, Fault(f"sweep {ledger.id}", "the time is over", do="the same command goes on from here"))
    if code in STORE_WIDE:
        ledger.close("failed", code)
        raise (StoreError if code == StoreError.code else ResourceError)(
            Fault(f"sweep {ledger.id}", f"stopped, every run would meet this: {shown(run.path)}/log.txt")
        )


def _cached(made: Plan, run: RunDir, options: Options, stop: Stop) -> int:
    work(made, run, options, Talk(), stop)
    leave(run)
    return 0


def _is_done(row: dict[str, Any], options: Options) -> bool:
    results = read_json(options.runs / str(row.get("path")) / "results.json") if row.get("path") else None
    return row["state"] == "done" and results is not None and results.get("status") == "done"


def _in_child(made: Plan, options: Options, sweep_id: str, stop: Stop, began: float) -> int:
    """Exit code of the run in its own process; a child that died by a signal gives 128 + its number."""
    quiet_threads()
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    child = context.Process(target=_child, args=(tuple(made.config.words), options, sweep_id, began))
    child.start()
    _wait(child, stop)
    code = child.exitcode or 0
    return 128 - code if code < 0 else code


def _wait(child: BaseProcess, stop: Stop) -> None:
    """Until the child ends; a signal is passed on, for it may have reached only us."""
    told = False
    while child.is_alive():
        child.join(0.2)
        if stop.signum and not told:
            told = True
            os.kill(child.pid or 0, RELAY)


def _child(words: tuple[str, ...], options: Options, sweep_id: str, began: float) -> None:
    """The whole of a run in a fresh process: compose, plan, compute. Exits with its code. The time of runtime.max_time
    is that of the sweep, which `began` then."""
    from transfer_cli.cli.run import plan_all, show_run
    from transfer_cli.config.compose import load

    def run() -> int:
        made = plan_all([load(words, config_dirs=options.config_dirs)], options)[0]
        if to_start(made):
            return launch(made, options, sweep_id, began)
        stop = stop_of(made, began)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the sweep too, which passes it on
        run = open_run(made, options, sweep=sweep_id)
        show_run(made, run, options, Screen.of(options), stop)
        return 0

    Stop().watch()  # until the plan is made
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(guarded(run, debug=options.debug, as_json=options.json))


def _finish(ledger: SweepDir, options: Options, screen: Screen) -> int:
    rows = ledger.data["runs"]
    failed = [row for row in rows if row["state"] != "done"]
    results = [
        found for row in rows if row["path"] and (found := read_json(options.runs / row["path"] / "results.json"))
    ]
    ledger.close(*(("failed", SweepError.code) if failed else ("done", 0)))
    if any(found["status"] == "done" for found in results):
        screen.show(compare(results))
    if not failed:
        return 0
    text = f"{len(rows) - len(failed)} of {len(rows)} done, {len(failed)} failed"
    total = Fault(f"sweep {ledger.id}", text, do=f"transfer resume {ledger.id} --retry-failed")
    raise SweepError(*(_failed(row, options) for row in failed), total)


def _failed(row: dict[str, Any], options: Options) -> Fault:
    where = f": {shown(options.runs / row['path'] / 'log.txt')}" if row["path"] else ""
    return Fault(" ".join(row["words"]), f"{row['state']} [{row['code']}]{where}")
