"""Executes the stages of one plan in order: each is read from the store or computed. torch is imported only if a stage
must be computed."""

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transfer_cli.errors import DataError, Diverged, Fault, StoreError, TransferError
from transfer_cli.plan import planner
from transfer_cli.plan.outcome import outcome, timing
from transfer_cli.plan.plan import Plan, Stage
from transfer_cli.report.live.run_display import Talk
from transfer_cli.rundir.rundir import RunDir
from transfer_cli.runner.processes import job_of, join, world
from transfer_cli.safe import shown
from transfer_cli.signals import Stop
from transfer_cli.store.claim import Claim, identity_change, other_class
from transfer_cli.store.store import Damaged, Store


@dataclass(frozen=True)
class ExecutionSettings:
    """Options of the command line that decide how stages are computed. `wait`: seconds to wait for a stage that another
    process computes, None without limit; `at_once`: the number of runs that share the cores."""

    runs: Path
    wait: float | None = None
    no_cache: bool = False
    retry_failed: bool = False
    strict_identity: bool = False
    at_once: int = 1


class Execution:
    """The execution of one plan: its stages are read from the store or computed, in order."""

    def __init__(self, plan: Plan, run: RunDir, settings: ExecutionSettings, talk: Talk, stop: Stop) -> None:
        self.plan, self.run, self.settings, self.talk, self.stop = plan, run, settings, talk, stop
        self.store = Store(settings.runs / ".store")
        self.cached: dict[str, bool] = {}
        self._context: Any = None

    def complete(self) -> dict[str, Any]:
        """Computes the missing stages; returns the entries of results.json. A damaged stage is moved to quarantine and
        computed again. The other processes of the run join at the beginning and receive a message at the end; after an
        error they notice that the connections are closed."""
        start = time.monotonic()
        self._place = join(self.plan) if world() > 1 else None
        while True:
            try:
                for stage in self.plan.stages:
                    self._stage(stage)
                if self._place and self._place.ranks:
                    self._place.ranks.send({})
                return outcome(self.plan, self.store, self.cached, time.monotonic() - start)
            except Damaged as damaged:
                self.store.quarantine(damaged.key, owner=shown(self.run.path), poll=self.stop, talk=self.say)
                if damaged.key not in [stage.key for stage in self.plan.work]:
                    raise _of_another_run(damaged) from damaged

    def say(self, text: str) -> None:
        """Writes a sentence to the screen and to the log."""
        self.talk.note(text)
        self.run.log(text)

    def _tell(self, stage: Stage, state: str) -> None:
        took = timing(self.store, stage.key)["seconds"] if state in ("done", "cached") else None
        self.talk.stage(stage.name, state, stage.what, took)
        self.run.log(f"{stage.name} {state} {stage.what} {stage.key[:12]}")

    def _stage(self, stage: Stage) -> None:
        self.stop()
        if not stage.key:
            self._tell(stage, "none")
            return
        fresh = self.cached.get(stage.name) is False
        if self.store.hit(stage.key) and (fresh or not self.settings.no_cache):
            if self.store.outgrown(stage.key):
                self.store.check_needs(stage.key)  # raises Damaged if a needed stage is gone, so it is computed again
            self.cached.setdefault(stage.name, True)
            self._same_identity(stage)
        else:
            self._compute(stage)
            self.cached[stage.name] = False
        self._tell(stage, "cached" if self.cached[stage.name] else "done")
        self._link(stage)

    def _same_identity(self, stage: Stage) -> None:
        """Warns about a stored stage of another identity class, whose last bits may differ; raises StoreError with
        --strict-identity."""
        then = self.store.identity(stage.key) or {}
        now = {name: value for name, value in self._identity(stage).items() if name in then}
        change = identity_change(now, {name: then[name] for name in now})
        if change is None:
            return
        if self.settings.strict_identity:
            raise other_class(stage.name, change)
        self.say(f"warning: {stage.name} was computed under {change}: not bit-identical")

    def _identity(self, stage: Stage) -> dict[str, Any]:
        """The identity class of this process; without --strict-identity only the part that needs no torch."""
        if self.settings.strict_identity:
            identity: dict[str, Any] = self._stage_context().identity(self._job(stage))
            return identity
        from transfer_cli.rundir.record import versions

        return {name: value for name, value in versions().items() if name in ("torch", "numpy")}

    def _link(self, stage: Stage) -> None:
        for name in self.store.files(stage.key):
            if name.startswith("model-"):
                self.run.link(f"{stage.name}-{name.removeprefix('model-')}", self.store.path(stage.key) / name)

    def _compute(self, stage: Stage) -> None:
        self._tell(stage, "running")
        owner, wait = shown(self.run.path), self.settings.wait
        with self.store.claim(stage.key, owner=owner, wait=wait, poll=self.stop, talk=self.say) as claim:
            if claim.state == "done" and not self.settings.no_cache:
                return  # another process finished it while we waited
            self._begin(claim, stage)
            self._run(stage, claim)

    def _begin(self, claim: Claim, stage: Stage) -> None:
        if claim.state == "failed" and not (self.settings.retry_failed or self.settings.no_cache):
            failure = self.store.failure(stage.key) or {}
            raise Diverged(
                Fault(stage.name, str(failure.get("fault", "failed before; not retried, use --retry-failed")))
            )
        if claim.state in ("done", "failed"):
            claim.start_over()

    def _run(self, stage: Stage, claim: Claim) -> None:
        from transfer_cli.engine.stage import run_stage

        try:
            run_stage(self._job(stage), self._stage_context(), claim)
        except (DataError, StoreError):
            if self.plan.changed():
                claim.start_over()  # a resume file must not continue work on two versions of the data or the code
            raise

    def _job(self, stage: Stage) -> Any:
        return job_of(self.plan, stage)

    def _stage_context(self) -> Any:
        if self._context is None:
            from transfer_cli.engine.stage_context import StageContext

            place = self._place or join(self.plan, self.settings.at_once)
            self._context = StageContext(
                self.store,
                place.device,
                self.settings.runs / ".cache",
                self.talk,
                self.stop,
                self._unchanged,
                float(self.plan.values["runtime"]["save_every"]),
                self.settings.strict_identity,
                self.say,
                place.ranks,
                bool(self.plan.values["runtime"]["shard"]),
            )
            self._rehearse()
        return self._context

    def _rehearse(self) -> None:
        """Raises at once what would stop a later stage, so that it does not fail after hours of pretraining."""
        from transfer_cli.engine.stage import rehearse

        todo = [stage for stage in self.plan.work if not self.store.done(stage.key)]
        for stage in todo:
            rehearse(self._job(stage), self._context)

    def _unchanged(self) -> None:
        """Raises DataError or StoreError if data or code changed since planning, because the result would not belong to
        its key."""
        changed = self.plan.changed()
        if not changed:
            return
        with suppress(TransferError):  # the next command reports errors of the new version
            again = planner.plan(self.plan.config, runs=self.settings.runs)
            if [stage.key for stage in again.stages] == [stage.key for stage in self.plan.stages]:
                return
        kind, what = (StoreError, "code") if changed[0].suffix == ".py" else (DataError, "data")
        raise kind(Fault(shown(changed[0]), f"{what} changed while training", do="run the same command again"))


def _of_another_run(damaged: Damaged) -> StoreError:
    """The error for a missing stage that this run cannot compute: a net of `weights=RUN` may depend on stages of that
    run."""
    text = f"the net of that run rests on stage {damaged.key[:12]}, which is damaged, or no longer in the store"
    return StoreError(Fault("weights", text, do="run that run's words again; they are in its overrides.txt"))
