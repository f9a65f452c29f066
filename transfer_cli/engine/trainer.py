"""The steps of one stage at rank 0: logged rows, validations, marks, resume files and signals around the loop."""

import time
from typing import Any

from torch import Tensor

from transfer_cli.engine import inference
from transfer_cli.engine.handed_on import HandedOn
from transfer_cli.engine.label_free import LabelFree
from transfer_cli.engine.marks import Marks, mark_steps
from transfer_cli.engine.ranks import agreed
from transfer_cli.engine.settings import Trainer
from transfer_cli.engine.snapshot_selection import SnapshotSelection, validation_steps
from transfer_cli.engine.stage_context import Job, StageContext
from transfer_cli.engine.training_step import Training
from transfer_cli.models.tensors import pack, unpack
from transfer_cli.selection_rules import LABEL_FREE, LABELLED
from transfer_cli.store.claim import Claim, identity_change, other_class
from transfer_cli.store.commit import canonical
from transfer_cli.task_contracts import Scoring

LOGGED_ROWS = 500  # a stage's loss curve has at most this many points; fixed, for rows are part of the result


def looks_of(job: Job, trainer: Trainer) -> frozenset[int]:
    """After which steps the net is validated."""
    judged = "oracle" in job.spec or any(rule in LABELLED or rule in LABEL_FREE for rule in job.rules)
    return validation_steps(trainer.steps, trainer.validations if judged else 0)


def marks_of(job: Job, trainer: Trainer) -> dict[str, int]:
    """The marks of a stage, each with the number of steps after which it is taken."""
    return mark_steps(job.spec.get("marks", 0), trainer.steps)


def gathers_of(job: Job, trainer: Trainer) -> frozenset[int]:
    """After which steps the whole net is needed at rank 0."""
    return looks_of(job, trainer) | frozenset(marks_of(job, trainer).values())


class Steps:
    """The loop over the steps of a training. `handed_on` writes what is reached at a mark."""

    def __init__(
        self,
        job: Job,
        context: StageContext,
        claim: Claim,
        training: Training,
        kept: SnapshotSelection,
        handed_on: HandedOn,
    ) -> None:
        self.job, self.context, self.claim, self.training, self.kept = job, context, claim, training, kept
        self.steps = training.trainer.steps
        self.stride = -(-self.steps // LOGGED_ROWS)
        self.held_out = {rule: self._loader(rule) for rule in job.rules if rule in LABELLED}
        self.label_free = LabelFree(job, context)
        self.goes_by = {rule: context.scoring(job, rule.removesuffix("_val")).primary for rule in self.held_out}
        self.oracle = context.loader(job, "target", "test", seed=job.seed) if "oracle" in job.spec else None
        self.looks, self.gathers = looks_of(job, training.trainer), gathers_of(job, training.trainer)
        self.marks = Marks(marks_of(job, training.trainer), claim, handed_on)
        self.saved, self.cost = time.monotonic(), 0.0
        self.identity = context.identity(job)

    def _loader(self, rule: str) -> Any:
        return self.context.loader(self.job, rule.removesuffix("_val"), "val", seed=self.job.seed)

    def run(self) -> None:
        first = self._resume()
        begun = time.monotonic()
        for t in range(first, self.steps):
            logs = self.training.step(t)
            if t % self.stride == 0 or t + 1 == self.steps:
                self._log(t, logs)
            if t + 1 in self.gathers:
                self._stop_over(t + 1)
            self._tell(t + 1, first, begun, logs)
            self._pause(t + 1)
        self.training.check(self.steps)
        self.training.gather()
        self.kept.keep("final", self.steps, (0.0, 0.0), {}, None)

    def _log(self, t: int, logs: dict[str, Tensor]) -> None:
        self.training.check(t)
        self._row({"step": t, **{name: float(value) for name, value in logs.items()}})

    def _row(self, row: dict[str, Any]) -> None:
        self.claim.append(canonical(row) + b"\n")

    def _stop_over(self, step: int) -> None:
        """The net as it is now: validated, or handed on at a mark. Training goes on as if nothing had happened."""
        self.training.check(step)
        self.training.gather()
        if step in self.looks:
            self._look(step)
        if self.marks.reached(step, self.training.whole):
            self.training.set_modes()

    def _look(self, step: int) -> None:
        """The selection rules see validation rows; a better snapshot is kept. Draws nothing."""
        judged = {rule: self._metrics(rule, loader) for rule, loader in self.held_out.items()}
        row = {f"{rule}/{name}": m[name] for rule, (scoring, m) in judged.items() for name in scoring.watched}
        if self.oracle is not None:
            scoring, metrics = self._metrics("target_val", self.oracle)
            row[f"oracle/{scoring.primary}"] = metrics[scoring.primary]
        guesses = self.label_free(self.training.whole.result()["net"])
        row |= {f"{rule}/score": value for rule, value in guesses.items()}
        self._row({"step": step, **row})
        for rule, value in guesses.items():
            self.kept.keep(rule, step, (value, 0.0), row, self.training.whole)
        for rule, (scoring, metrics) in judged.items():
            self.kept.keep(rule, step, scoring.better(metrics), row, self.training.whole)

    def _metrics(self, rule: str, loader: Any) -> tuple[Scoring, dict[str, float]]:
        scoring = self.context.scoring(self.job, rule.removesuffix("_val"))
        net = self.training.whole.result()["net"]
        return scoring, scoring.metrics(inference.rows(net, scoring, loader, self.context.precision(self.job)))

    def _tell(self, step: int, first: int, begun: float, logs: dict[str, Tensor]) -> None:
        """The screen; it throttles itself."""
        if not self.context.talk.due():
            return
        rows = sum(loader.batch for loader in self.training.loaders.values())
        rate = (step - first) * rows / max(1e-9, time.monotonic() - begun)
        self.context.talk.step(self.job.name, step, self.steps, float(logs["loss"]), rate, self.kept.best(self.goes_by))

    # resume files
    def _pause(self, step: int) -> None:
        """Saves when due or when a signal asks to leave."""
        every = self.context.save_every
        due = step < self.steps and (not every or time.monotonic() - self.saved >= max(every, 20 * self.cost))
        code, due = agreed(self.context.stop.code, due, self.context.ranks)
        if code or due:
            self._save(step)
        if code:
            raise self.context.stop.error(code, f"{self.job.name} {step:,} of {self.steps:,}, ")

    def _save(self, step: int) -> None:
        self.training.check(step)
        self.context.unchanged()
        start = time.monotonic()
        size, prefix = self.claim.rows_state()
        meta = {
            "step": step,
            "rows": [size, prefix],
            "kept": self.kept.facts(),
            "marks": self.marks.state(),
            "identity": self.identity,
        }
        self.claim.save_resume(step, pack(self.training.state() | self.kept.tensors(), meta))
        self.saved = time.monotonic()
        self.cost = self.saved - start

    def _resume(self) -> int:
        """Puts the newest valid resume file back; returns the step to go on from."""
        for step, data in self.claim.resume():
            tensors, meta = unpack(data)
            if not (self.marks.load(meta["marks"]) and self.claim.truncate_rows(*meta["rows"])):
                continue
            self.training.load_state(tensors)
            self.kept.load(meta["kept"], tensors)
            self._same_identity({"processes": 1} | meta["identity"])
            self.context.say(f"{self.job.name} goes on at step {step:,} of {self.steps:,}")
            return self._begun(int(meta["step"]), data)
        self.marks.load({"files": {}, "rests": False})
        self.claim.truncate_rows()
        return self._begun(0, b"")

    def _begun(self, step: int, data: bytes) -> int:
        """Calls the other ranks, if any, to the same step and state."""
        if ranks := self.context.ranks:
            ranks.send({"stage": self.job.name, "key": self.job.key, "step": step})
            ranks.broadcast(data)
        return step

    def _same_identity(self, before: dict[str, Any]) -> None:
        """A stage that began in another identity class may differ in its last bits: said and recorded, or refused."""
        mixed = before.get("mixed") or identity_change(self.identity, before)
        if mixed is None:
            return
        if self.context.strict_identity:
            raise other_class(self.job.name, mixed)
        self.context.say(f"warning: {self.job.name} resumed under {mixed}: not bit-identical")
        self.identity = self.identity | {"mixed": mixed}
        self.claim.put_json("stage.json", {"spec": self.job.spec, "identity": self.identity})
