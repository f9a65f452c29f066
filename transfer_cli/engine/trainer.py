"""The training loop of one stage: steps, logs, validations, marks, resume files, signals. Runs at rank 0."""

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

LOGGED_ROWS = 500  # the most points of a stage's loss curve; a constant, because the rows are part of the result


def validations_of(job: Job, trainer: Trainer) -> frozenset[int]:
    """The steps after which the net is validated."""
    validated = "oracle" in job.spec or any(rule in LABELLED or rule in LABEL_FREE for rule in job.rules)
    return validation_steps(trainer.steps, trainer.validations if validated else 0)


def marks_of(job: Job, trainer: Trainer) -> dict[str, int]:
    """The marks of a stage, each with the number of steps after which it is taken."""
    return mark_steps(job.spec.get("marks", 0), trainer.steps)


def gathers_of(job: Job, trainer: Trainer) -> frozenset[int]:
    """The steps after which rank 0 needs the whole net."""
    return validations_of(job, trainer) | frozenset(marks_of(job, trainer).values())


class TrainingLoop:
    """The loop over the steps of a training. `selection` collects the best snapshots; `handed_on` writes the snapshots
    of marks."""

    def __init__(
        self,
        job: Job,
        context: StageContext,
        claim: Claim,
        training: Training,
        selection: SnapshotSelection,
        handed_on: HandedOn,
    ) -> None:
        self.job, self.context, self.claim, self.training = job, context, claim, training
        self.selection = selection
        self.steps = training.trainer.steps
        self.stride = -(-self.steps // LOGGED_ROWS)
        self.held_out = {rule: self._loader(rule) for rule in job.rules if rule in LABELLED}
        self.label_free = LabelFree(job, context)
        self.primary_of_rule = {rule: context.scoring(job, rule.removesuffix("_val")).primary for rule in self.held_out}
        self.oracle = context.loader(job, "target", "test", seed=job.seed) if "oracle" in job.spec else None
        self.validations, self.gathers = validations_of(job, training.trainer), gathers_of(job, training.trainer)
        self.marks = Marks(marks_of(job, training.trainer), claim, handed_on)
        self.saved, self.cost = time.monotonic(), 0.0
        self.identity = context.identity(job)

    def _loader(self, rule: str) -> Any:
        return self.context.loader(self.job, rule.removesuffix("_val"), "val", seed=self.job.seed)

    def run(self) -> None:
        """Runs all steps that remain after the newest resume file. Raises Stopped after a signal, Diverged for a
        non-finite loss."""
        first = self._resume()
        start = time.monotonic()
        for t in range(first, self.steps):
            logs = self.training.step(t)
            if t % self.stride == 0 or t + 1 == self.steps:
                self._log(t, logs)
            if t + 1 in self.gathers:
                self._validate_or_mark(t + 1)
            self._show(t + 1, first, start, logs)
            self._save_or_stop(t + 1)
        self.training.check(self.steps)
        self.training.gather()
        self.selection.keep("final", self.steps, (0.0, 0.0), {}, None)

    def _log(self, t: int, logs: dict[str, Tensor]) -> None:
        self.training.check(t)
        self._row({"step": t, **{name: float(value) for name, value in logs.items()}})

    def _row(self, row: dict[str, Any]) -> None:
        self.claim.append(canonical(row) + b"\n")

    def _validate_or_mark(self, step: int) -> None:
        """Validates the current net, or writes it at a mark. Does not affect the training."""
        self.training.check(step)
        self.training.gather()
        if step in self.validations:
            self._validate(step)
        if self.marks.reached(step, self.training.whole):
            self.training.set_modes()

    def _validate(self, step: int) -> None:
        """Scores the net on validation rows and keeps the best snapshot by each rule. Uses no random numbers."""
        by_labels = {rule: self._metrics(rule, loader) for rule, loader in self.held_out.items()}
        row = {f"{rule}/{name}": m[name] for rule, (scoring, m) in by_labels.items() for name in scoring.watched}
        if self.oracle is not None:
            scoring, metrics = self._metrics("target_val", self.oracle)
            row[f"oracle/{scoring.primary}"] = metrics[scoring.primary]
        without_labels = self.label_free(self.training.whole.result()["net"])
        row |= {f"{rule}/score": value for rule, value in without_labels.items()}
        self._row({"step": step, **row})
        for rule, value in without_labels.items():
            self.selection.keep(rule, step, (value, 0.0), row, self.training.whole)
        for rule, (scoring, metrics) in by_labels.items():
            self.selection.keep(rule, step, scoring.better(metrics), row, self.training.whole)

    def _metrics(self, rule: str, loader: Any) -> tuple[Scoring, dict[str, float]]:
        scoring = self.context.scoring(self.job, rule.removesuffix("_val"))
        net = self.training.whole.result()["net"]
        return scoring, scoring.metrics(inference.rows(net, scoring, loader, self.context.precision(self.job)))

    def _show(self, step: int, first: int, start: float, logs: dict[str, Tensor]) -> None:
        """Updates the display of progress, if an update is due."""
        if not self.context.progress.due():
            return
        rows = sum(loader.batch for loader in self.training.loaders.values())
        rate = (step - first) * rows / max(1e-9, time.monotonic() - start)
        best = self.selection.best(self.primary_of_rule)
        self.context.progress.step(self.job.name, step, self.steps, float(logs["loss"]), rate, best)

    # resume files
    def _save_or_stop(self, step: int) -> None:
        """Saves a resume file if one is due or after a signal; after a signal, stops."""
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
            "kept": self.selection.facts(),
            "marks": self.marks.state(),
            "identity": self.identity,
        }
        self.claim.save_resume(step, pack(self.training.state() | self.selection.tensors(), meta))
        self.saved = time.monotonic()
        self.cost = self.saved - start

    def _resume(self) -> int:
        """Restores the newest valid resume file; returns the step at which to continue."""
        for step, data in self.claim.resume():
            tensors, meta = unpack(data)
            if not (self.marks.load(meta["marks"]) and self.claim.truncate_rows(*meta["rows"])):
                continue
            self.training.load_state(tensors)
            self.selection.load(meta["kept"], tensors)
            self._same_identity({"processes": 1} | meta["identity"])
            self.context.say(f"{self.job.name} goes on at step {step:,} of {self.steps:,}")
            return self._start_ranks(int(meta["step"]), data)
        self.marks.load({"files": {}, "rests": False})
        self.claim.truncate_rows()
        return self._start_ranks(0, b"")

    def _start_ranks(self, step: int, data: bytes) -> int:
        """Sends the step and the state to the other ranks, if any."""
        if ranks := self.context.ranks:
            ranks.send({"stage": self.job.name, "key": self.job.key, "step": step})
            ranks.broadcast(data)
        return step

    def _same_identity(self, before: dict[str, Any]) -> None:
        """Handles a resume in another identity class, whose results may differ in the last bits: logs and records it,
        or raises an error if `strict_identity` is set."""
        mixed = before.get("mixed") or identity_change(self.identity, before)
        if mixed is None:
            return
        if self.context.strict_identity:
            raise other_class(self.job.name, mixed)
        self.context.say(f"warning: {self.job.name} resumed under {mixed}: not bit-identical")
        self.identity = self.identity | {"mixed": mixed}
        self.claim.put_json("stage.json", {"spec": self.job.spec, "identity": self.identity})
