"""Sweeps of several runs. Each run has its own process, so a crash does not affect other runs; a run whose stages are
all cached needs no process. The ledger (sweep.json) records which runs are left, so the same command computes only
those, and several terminals can share a sweep."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from transfer_cli.analysis.results import Run
from transfer_cli.errors import ConfigError, Fault, ResourceError, Stopped, StoreError, TransferError
from transfer_cli.launch.launcher import Job, Launcher
from transfer_cli.launch.launcher import launcher as launcher_of
from transfer_cli.plan.plan import Plan
from transfer_cli.report.live.run_display import Talk
from transfer_cli.report.live.sweep_display import board
from transfer_cli.report.screen import Screen
from transfer_cli.rundir.rundir import RunDir
from transfer_cli.rundir.runs import read_json
from transfer_cli.rundir.sweepdir import OPEN, Row, SweepDir
from transfer_cli.runner.artifacts import write_artifacts
from transfer_cli.runner.child import child
from transfer_cli.runner.guarded import guarded
from transfer_cli.runner.options import Options
from transfer_cli.runner.processes import world
from transfer_cli.runner.single_run import digest_of, is_cached, open_run, quiet_threads, work
from transfer_cli.runner.sweep_end import finish
from transfer_cli.safe import hide_secrets, shown
from transfer_cli.signals import TIME_UP, Stop
from transfer_cli.store.store import Store

STORE_WIDE = (StoreError.code, ResourceError.code)  # every run would fail in the same way, so the sweep stops at once
OF_ONE = ("out of memory", "process ", "runtime.processes")  # prefixes of faults that concern one run only
Results = dict[str, Any]
POLL_S, FAR_POLL_S = 0.2, 0.5  # seconds between two polls of the own runs, and of the runs of other terminals


def sweep(plans: Sequence[Plan], options: Options, screen: Screen) -> int:
    """Computes every plan; returns the exit code. Raises SweepError (exit 3) if at least one run failed."""
    refuse_torchrun()
    plans = list({digest_of(plan.values): plan for plan in plans}.values())
    rows = [{"words": hide_secrets(plan.config.words)} for plan in plans]
    ledger = SweepDir.open(options.runs, digest_of([plan.values for plan in plans]), words=options.words, rows=rows)
    runner = SweepRunner(ledger, plans.__getitem__, options, screen)
    runner.complete()
    return finish(ledger, options, screen)


def refuse_torchrun() -> None:
    """Raises ConfigError under torchrun, because each of its processes would compute the whole sweep."""
    if world() > 1:
        raise ConfigError(Fault("-m", "a sweep starts the processes of its runs itself", do="leave torchrun out"))


class SweepRunner:
    """Computes this terminal's part of a sweep. `plan_of` returns the plan of a row; `view` reduces a run's results to
    what may be shown while the sweep runs."""

    def __init__(
        self,
        ledger: SweepDir,
        plan_of: Callable[[int], Plan],
        options: Options,
        screen: Screen,
        view: Callable[[Path, Results], Results] = lambda folder, results: results,
    ) -> None:
        self.view = view
        self.ledger, self.plan_of, self.options, self.screen = ledger, plan_of, options, screen
        self.store = Store(options.runs / ".store")
        self.stop, self.begun = Stop().watch(), time.monotonic()
        self.display = board(screen, ledger.id, options.runs)
        self.jobs: dict[int, Job] = {}
        self.tried: set[int] = set()  # runs that ended in this terminal, which does not start them again
        self._launchers: dict[str, Launcher] = {}
        self._done: set[str] = set()  # keys of stages that are in the store
        self._wide: TransferError | None = None

    def complete(self, more: Callable[[], bool] = lambda: False) -> None:
        """Works until every run is finished, here or in another terminal. `more` may add a row when another run can
        start; it returns whether it did. Raises Stopped after a signal or at the end of the time."""
        self._reopen_lost()
        rows = self.ledger.rows
        joins = "" if self.ledger.keeps else ", with another terminal"
        self.screen.note(f"sweep {self.ledger.id}: {len(rows)} runs{', goes on' * self.ledger.continued}{joins}")
        try:
            while self._turn(more):
                self._pause()
        except Stopped as stopped:
            self._leave("interrupted", stopped.code)
            if stopped.code != TIME_UP:  # at the end of the time, the error itself says what to do
                self.screen.command(f"transfer resume {self.ledger.id}")
            raise
        except BaseException as error:
            self._leave("failed", error.code if isinstance(error, TransferError) else 1)
            raise
        finally:
            self.display.close()

    def _reopen_lost(self) -> None:
        """Sets rows that are done but whose results were deleted back to `to do`."""
        for number, row in enumerate(self.ledger.rows):
            if row["state"] == "done" and (self._results(row) or {}).get("status") != "done":
                self.ledger.set(number, {"state": "to do"})

    def _turn(self, more: Callable[[], bool]) -> bool:
        """Records runs that have ended and starts new ones; returns False when no run is left."""
        self._check_stop()
        self.ledger.keep()
        self.ledger.refresh()
        for number, job in list(self.jobs.items()):
            if (code := job.code()) is not None:
                del self.jobs[number]
                self._ended(number, code)
        self._check_stop()
        failed = any(self.ledger.rows[number]["code"] for number in self.tried)
        if self.options.fail_fast and failed:
            self._stop_jobs()
            return False
        while len(self.jobs) < self.options.jobs and (number_of_next := self._next(more)) is not None:
            self._begin(number_of_next)
            self._check_stop()
        self.display.show(self.ledger.rows)
        return bool(self.jobs) or any(
            row["state"] in OPEN for number, row in enumerate(self.ledger.rows) if number not in self.tried
        )

    def _pause(self) -> None:
        ends = [job.sentinel for job in self.jobs.values() if job.sentinel is not None]
        if ends:
            wait(ends, POLL_S)
        else:
            time.sleep(POLL_S if self.jobs else FAR_POLL_S)

    # which run next
    def _next(self, more: Callable[[], bool]) -> int | None:
        """The number of the run to start: the first whose next stage no process computes. A run that would wait for a
        stage starts only if this terminal computes nothing else. None if no run can start now."""
        busy: dict[str, bool] = {}
        working = {self._next_stage(number) for number in self.jobs} - {""}
        later = None
        for number in range(len(self.ledger.rows)):
            if number in self.tried or number in self.jobs or not self.ledger.is_open(number):
                continue
            if self.ledger.is_taken(number):
                continue
            key = self._next_stage(number)
            if key and key not in busy:
                busy[key] = key in working or self.store.state(key) == "running"
            if not key or not busy[key]:
                return number if self.ledger.take(number) else None
            later = number if later is None else later
        if later is not None and not self.jobs:
            return later if self.ledger.take(later) else None
        return self._next(more) if later is None and more() else None

    def _next_stage(self, number: int) -> str:
        """The key of the first stage of a run that is not in the store; "" if all stages are."""
        for stage in self.plan_of(number).work:
            if stage.key not in self._done and self.store.done(stage.key):
                self._done.add(stage.key)
            if stage.key not in self._done:
                return stage.key
        return ""

    # one run
    def _begin(self, number: int) -> None:
        """Starts a run that this terminal has taken; a run whose stages are all cached is completed at once."""
        plan = self.plan_of(number)
        run = open_run(plan, self.options, sweep=self.ledger.id, among=self.ledger.places(number))
        self.ledger.start(number, run.path)
        self.display.begun(self.ledger.rows, number)
        if is_cached(plan, self.options.runs) and not self.options.no_cache:
            self._ended(number, guarded(lambda: self._cached(plan, run), debug=self.options.debug, as_json=False))
            return
        run.release()
        launcher = self._launcher(plan)
        options = self.options if launcher.here else replace(self.options, jobs=1)
        began = self.begun if launcher.here else None  # the clock of another machine is not comparable
        task = partial(child, tuple(plan.config.words), options, self.ledger.id, run.path.resolve(), began)
        self.jobs[number] = launcher.start(task)

    def _cached(self, plan: Plan, run: RunDir) -> int:
        work(plan, run, self.options, Talk(), self.stop)
        write_artifacts(run)
        return 0

    def _launcher(self, plan: Plan) -> Launcher:
        runtime = plan.values["runtime"]
        key = digest_of(runtime)
        if key not in self._launchers:
            quiet_threads(self.options.jobs)
            self._launchers[key] = launcher_of(runtime, self.ledger.path)
        return self._launchers[key]

    def _ended(self, number: int, code: int) -> None:
        """Writes into the ledger how a run ended, shows it, and releases the lock of its row."""
        self.tried.add(number)
        row = self.ledger.rows[number]
        results = self.view(self.options.runs / row["path"], self._results(row) or {})
        state = results.get("status", "failed")
        if state == "running":  # the run did not record its own end
            state = "interrupted" if self.stop.signum else "died" if code > 128 or not code else "failed"
        elif state != "done":
            code = results.get("code") or code  # the run's own record counts, even if its process was killed afterwards
        code = code or (0 if state == "done" else 1)
        ended = Run.of(results) if results else None
        facts = {"headline": results.get("headline"), "fault": results.get("fault")}
        if ended is not None and ended.headline is not None:
            facts["measure"] = ended.headline.metric.measure.as_json()
        self.ledger.set(number, {"state": state, "code": code, **facts})
        self.ledger.give(number)
        self.display.ended(self.ledger.rows, number, ended)
        if state == "interrupted" and not self.stop.signum and self._may_go_on(number):
            self.tried.discard(number)
        if code == TIME_UP and not self._may_go_on(number):
            text = "the time is over"
            self._wide = Stopped(code, Fault(f"sweep {self.ledger.id}", text, do="the same command goes on from here"))
        if code in STORE_WIDE and facts["fault"] and not facts["fault"].startswith(OF_ONE):
            kind = StoreError if code == StoreError.code else ResourceError
            log = shown(self.options.runs / str(row["path"]) / "log.txt")
            self._wide = kind(Fault(f"sweep {self.ledger.id}", f"stopped, every run would meet this: {log}"))

    def _check_stop(self) -> None:
        """Raises the error that ends the whole sweep: a signal, or a fault that every run would have."""
        self.stop()
        if self._wide is not None:
            raise self._wide

    def _may_go_on(self, number: int) -> bool:
        """Whether a launcher for other machines computes this run. A cluster may end a job at its time limit, and the
        run may then start again."""
        return not self._launcher(self.plan_of(number)).here

    def _results(self, row: Row) -> dict[str, Any] | None:
        return read_json(self.options.runs / row["path"] / "results.json") if row["path"] else None

    # the end
    def _stop_jobs(self) -> None:
        """Stops the runs of this terminal. Each saves its state, and the ledger records how it ended."""
        for job in self.jobs.values():
            job.stop()
        while self.jobs:
            for number, job in list(self.jobs.items()):
                if (code := job.code()) is not None:
                    del self.jobs[number]
                    self._ended(number, code)
            if self.jobs:
                self._pause()

    def _leave(self, status: str, code: int) -> None:
        self._stop_jobs()
        self.ledger.close(status, code)
