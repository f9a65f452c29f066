"""Several runs: each in a process of its own, so that one that dies takes nobody along; those all cached need none.
The ledger (sweep.json) says what is left, so the same command again runs only that, and several terminals share it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from transfer_cli.analysis.groups import by_test
from transfer_cli.analysis.results import Run, read
from transfer_cli.errors import ConfigError, Fault, ResourceError, Stopped, StoreError, SweepError, TransferError
from transfer_cli.launch.launcher import Job, Launcher, launcher
from transfer_cli.plan.plan import Plan
from transfer_cli.report.compare_table import compare
from transfer_cli.report.live.run_display import Talk
from transfer_cli.report.live.sweep_display import board
from transfer_cli.report.screen import Screen
from transfer_cli.report.sweep_table import failures
from transfer_cli.report.tables import Table
from transfer_cli.rundir.rundir import RunDir
from transfer_cli.rundir.runs import read_json
from transfer_cli.rundir.sweepdir import OPEN, Row, SweepDir
from transfer_cli.runner.artifacts import leave
from transfer_cli.runner.child import child
from transfer_cli.runner.guarded import guarded
from transfer_cli.runner.options import Options
from transfer_cli.runner.processes import world
from transfer_cli.runner.single_run import digest_of, is_cached, open_run, quiet_threads, work
from transfer_cli.safe import hide_secrets, shown
from transfer_cli.signals import TIME_UP, Stop
from transfer_cli.store.store import Store

STORE_WIDE = (StoreError.code, ResourceError.code)  # would befall every run: stop at once
OF_ONE = ("out of memory", "process ", "runtime.processes")  # but these, of one run: the others of its processes
Results = dict[str, Any]
LOOK_S, FAR_LOOK_S = 0.2, 0.5  # between two looks at the runs: at ours, at those of other terminals


def sweep(plans: Sequence[Plan], options: Options, screen: Screen) -> int:
    """Runs every plan; returns the exit code (SweepError, 3: at least one failed, the others finished)."""
    refuse_torchrun()
    plans = list({digest_of(made.values): made for made in plans}.values())
    rows = [{"words": hide_secrets(made.config.words)} for made in plans]
    ledger = SweepDir.open(options.runs, digest_of([made.values for made in plans]), words=options.words, rows=rows)
    runner = SweepRunner(ledger, plans.__getitem__, options, screen)
    runner.complete()
    return finish(ledger, options, screen)


def refuse_torchrun() -> None:
    """Raises ConfigError under torchrun: each of its processes would run the whole sweep."""
    if world() > 1:
        raise ConfigError(Fault("-m", "a sweep starts the processes of its runs itself", do="leave torchrun out"))


class SweepRunner:
    """This terminal's part in a sweep: the runs it has going. `plan_of` gives the plan of a row; `view` is what of a
    run's results may be seen on the way."""

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
        self.board = board(screen, ledger.id, options.runs)
        self.jobs: dict[int, Job] = {}
        self.tried: set[int] = set()  # a run that this terminal has ended is not begun again by it
        self._launchers: dict[str, Launcher] = {}
        self._done: set[str] = set()  # stages
        self._wide: TransferError | None = None

    def complete(self, more: Callable[[], bool] = lambda: False) -> None:
        """Until every run is finished, by whomever. `more` may add a row when there is room for another run."""
        self._still_there()
        rows = self.ledger.rows
        joins = "" if self.ledger.keeps else ", with another terminal"
        self.screen.note(f"sweep {self.ledger.id}: {len(rows)} runs{', goes on' * self.ledger.continued}{joins}")
        try:
            while self._turn(more):
                self._pause()
        except Stopped as stopped:
            self._leave("interrupted", stopped.code)
            if stopped.code != TIME_UP:  # of time that is over the error tells
                self.screen.command(f"transfer resume {self.ledger.id}")
            raise
        except BaseException as error:
            self._leave("failed", error.code if isinstance(error, TransferError) else 1)
            raise
        finally:
            self.board.close()

    def _still_there(self) -> None:
        """A row that says done while its results have gone is to do again."""
        for number, row in enumerate(self.ledger.rows):
            if row["state"] == "done" and (self._results(row) or {}).get("status") != "done":
                self.ledger.set(number, {"state": "to do"})

    def _turn(self, more: Callable[[], bool]) -> bool:
        """Sees what has ended, begins what there is room for; False when nothing is left."""
        self._go_on()
        self.ledger.keep()
        self.ledger.refresh()
        for number, job in list(self.jobs.items()):
            if (code := job.code()) is not None:
                del self.jobs[number]
                self._ended(number, code)
        self._go_on()
        failed = any(self.ledger.rows[number]["code"] for number in self.tried)
        if self.options.fail_fast and failed:
            self._recall()
            return False
        while len(self.jobs) < self.options.jobs and (chosen := self._next(more)) is not None:
            self._begin(chosen)
            self._go_on()
        self.board.show(self.ledger.rows)
        return bool(self.jobs) or any(
            row["state"] in OPEN for number, row in enumerate(self.ledger.rows) if number not in self.tried
        )

    def _pause(self) -> None:
        ends = [job.sentinel for job in self.jobs.values() if job.sentinel is not None]
        if ends:
            wait(ends, LOOK_S)
        else:
            time.sleep(LOOK_S if self.jobs else FAR_LOOK_S)

    # which run next
    def _next(self, more: Callable[[], bool]) -> int | None:
        """A run to begin: the first whose next stage nobody computes. One that would only wait for a stage begins
        only if nothing of ours is at work."""
        found: dict[str, bool] = {}
        working = {self._next_stage(number) for number in self.jobs} - {""}
        later = None
        for number in range(len(self.ledger.rows)):
            if number in self.tried or number in self.jobs or not self.ledger.is_open(number):
                continue
            if self.ledger.is_taken(number):
                continue
            key = self._next_stage(number)
            if key and key not in found:
                found[key] = key in working or self.store.state(key) == "running"
            if not key or not found[key]:
                return number if self.ledger.take(number) else None
            later = number if later is None else later
        if later is not None and not self.jobs:
            return later if self.ledger.take(later) else None
        return self._next(more) if later is None and more() else None

    def _next_stage(self, number: int) -> str:
        """Key of the first stage of a run that is not there; "" of a run whose stages all are."""
        for stage in self.plan_of(number).work:
            if stage.key not in self._done and self.store.done(stage.key):
                self._done.add(stage.key)
            if stage.key not in self._done:
                return stage.key
        return ""

    # one run
    def _begin(self, number: int) -> None:
        """Begins a run that is ours; one whose stages are all there is over at once."""
        made = self.plan_of(number)
        run = open_run(made, self.options, sweep=self.ledger.id, among=self.ledger.places(number))
        self.ledger.start(number, run.path)
        self.board.begun(self.ledger.rows, number)
        if is_cached(made, self.options.runs) and not self.options.no_cache:
            self._ended(number, guarded(lambda: self._cached(made, run), debug=self.options.debug, as_json=False))
            return
        run.release()
        chosen = self._launcher(made)
        theirs = self.options if chosen.here else replace(self.options, jobs=1)
        began = self.begun if chosen.here else None  # another machine has another clock
        task = partial(child, tuple(made.config.words), theirs, self.ledger.id, run.path.resolve(), began)
        self.jobs[number] = chosen.start(task)

    def _cached(self, made: Plan, run: RunDir) -> int:
        work(made, run, self.options, Talk(), self.stop)
        leave(run)
        return 0

    def _launcher(self, made: Plan) -> Launcher:
        runtime = made.values["runtime"]
        key = digest_of(runtime)
        if key not in self._launchers:
            quiet_threads(self.options.jobs)
            self._launchers[key] = launcher(runtime, self.ledger.path)
        return self._launchers[key]

    def _ended(self, number: int, code: int) -> None:
        """Writes how a run of ours ended, tells it, and gives the run back."""
        self.tried.add(number)
        row = self.ledger.rows[number]
        found = self.view(self.options.runs / row["path"], self._results(row) or {})
        state = found.get("status", "failed")
        if state == "running":  # nothing of ours wrote its end
            state = "interrupted" if self.stop.signum else "died" if code > 128 or not code else "failed"
        elif state != "done":
            code = found.get("code") or code  # what the run says itself counts, also where its process was cut off
        code = code or (0 if state == "done" else 1)
        ended = Run.of(found) if found else None
        facts = {"headline": found.get("headline"), "fault": found.get("fault")}
        if ended is not None and ended.headline is not None:
            facts["measure"] = ended.headline.metric.measure.as_json()
        self.ledger.set(number, {"state": state, "code": code, **facts})
        self.ledger.give(number)
        self.board.ended(self.ledger.rows, number, ended)
        if state == "interrupted" and not self.stop.signum and self._may_go_on(number):
            self.tried.discard(number)
        if code == TIME_UP and not self._may_go_on(number):
            text = "the time is over"
            self._wide = Stopped(code, Fault(f"sweep {self.ledger.id}", text, do="the same command goes on from here"))
        if code in STORE_WIDE and facts["fault"] and not facts["fault"].startswith(OF_ONE):
            kind = StoreError if code == StoreError.code else ResourceError
            log = shown(self.options.runs / str(row["path"]) / "log.txt")
            self._wide = kind(Fault(f"sweep {self.ledger.id}", f"stopped, every run would meet this: {log}"))

    def _go_on(self) -> None:
        """Raises what ends the whole sweep: a signal, a fault that no run would escape."""
        self.stop()
        if self._wide is not None:
            raise self._wide

    def _may_go_on(self, number: int) -> bool:
        """Whether the time of a cluster's job was up, and not somebody who stopped this one run."""
        return not self._launcher(self.plan_of(number)).here

    def _results(self, row: Row) -> dict[str, Any] | None:
        return read_json(self.options.runs / row["path"] / "results.json") if row["path"] else None

    # the end
    def _recall(self) -> None:
        """Stops what is running; each saves, and its end is written."""
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
        self._recall()
        self.ledger.close(status, code)


def compared(runs: Sequence[Run]) -> list[Table]:
    """A table a test set: accuracies on different rows are never side by side."""
    return [compare(part) for part in by_test(runs)]


def finish(
    ledger: SweepDir, options: Options, screen: Screen, answer: Callable[[list[Run]], list[Table]] = compared
) -> int:
    """The tables of what is done, made of the results, or the ledger (--json); then what failed. Raises SweepError if
    anything is not done."""
    ledger.keep()  # the terminal that kept it may have gone
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
    left = sum(row["state"] == "to do" for row in rows)
    logs = {row["path"]: shown(options.runs / row["path"] / "log.txt") for row in failed if row["path"]}
    total = Fault(
        f"sweep {ledger.id}",
        f"{len(rows) - len(failed)} of {len(rows)} done, {len(failed) - left} failed" + f", {left} to do" * bool(left),
        do=f"transfer resume {ledger.id} --retry-failed",
    )
    if not screen.json:
        screen.tell(failures(rows, logs))
        raise SweepError(total)
    raise SweepError(total, *(_failed(row, logs) for row in failed))


def _failed(row: Row, logs: dict[str, str]) -> Fault:
    """A failed run for a machine."""
    return Fault(" ".join(row["words"]), f"{row['state']} [{row['code']}]: {logs.get(row['path'], row.get('fault'))}")
