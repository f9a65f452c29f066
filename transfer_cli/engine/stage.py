"""One stage from claim to DONE: trained step by step with resume files, or finished in one go, or evaluated."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from torch import Tensor

from transfer_cli.contracts import Feed, Given, Method, Task
from transfer_cli.data.tokenizers import text_of
from transfer_cli.engine import passes
from transfer_cli.engine.bench import Bench, Job, model_file
from transfer_cli.engine.device import peak_bytes, reseed
from transfer_cli.engine.evaluate import evaluate
from transfer_cli.engine.loop import Training
from transfer_cli.engine.ranks import Lost, agreed
from transfer_cli.engine.rules import Kept, validation_steps
from transfer_cli.engine.settings import Trainer
from transfer_cli.errors import DataError, Diverged, Fault, StoreError
from transfer_cli.models.tensors import pack, same_bits, unpack
from transfer_cli.models.weights import load
from transfer_cli.seeds import seed_for
from transfer_cli.store.claim import Claim, identity_change, other_class
from transfer_cli.store.commit import canonical
from transfer_cli.store.store import NEEDS

LOGGED_ROWS = 500  # a stage's loss curve has at most this many points; fixed, for rows are part of the result


def run_stage(job: Job, bench: Bench, claim: Claim) -> None:
    """Computes the stage under `claim` and finishes it. Raises Diverged (recorded), Stopped (saved) and the rest."""
    start = time.monotonic()
    claim.put_json("stage.json", {"spec": job.spec, "identity": bench.identity(job)})
    try:
        {"train": _train, "given": _given, "evaluate": evaluate}[job.spec["kind"]](job, bench, claim)
        bench.unchanged()
    except Diverged as error:
        fault = replace(error.faults[0], key=job.name)
        claim.fail({"fault": fault.text})
        raise Diverged(fault) from error
    except Lost as lost:
        assert bench.ranks is not None, "alone, nobody is lost"
        raise bench.ranks.cause(lost) from lost
    finally:
        timing = {"seconds": time.monotonic() - start, "peak_bytes": peak_bytes(bench.device)}
        claim.append_timing(canonical(timing) + b"\n")
    claim.finish()


def rehearse(job: Job, bench: Bench) -> None:
    """Opens the pictures of a stage and makes its method on an untaught net: what is wrong with them is told before
    the stages that come first are computed. Every stage seeds itself, so this changes none."""
    if job.spec["kind"] == "train":
        _method(replace(job, spec=job.spec | {"net": {"init": 0}}), bench, heads=True)
        _feeds(job, bench)
    if job.spec["kind"] == "evaluate":
        bench.items(job, "target", "test", labelled=True, seed=job.seed)


def seed32(job: Job) -> int:
    """The 32-bit seed of step 0: from (seed, role), never from the key."""
    return seed_for(job.seed, job.spec.get("role", job.name), bits=32)


def _given(job: Job, bench: Bench, claim: Claim) -> None:
    if job.weights is None:  # the stage of another run, which only that run's words can compute
        text = "the net of that run is damaged, or no longer in the store"
        raise StoreError(Fault("weights", text, do="run that run's words again; they are in its overrides.txt"))
    net = bench.net(job, {"init": 0})
    report = load(net, job.weights, sha256=job.spec["weights"])
    for line in report.lines():
        bench.say(line)
    claim.put("model-final.safetensors", pack(*_named({"net": net})))
    _put_tokenizer(job, bench, claim)
    claim.put_json("results.json", _facts({"final": {"step": 0}}, net, 0))


def _train(job: Job, bench: Bench, claim: Claim) -> None:
    method, tasks = _method(job, bench)
    feeds = _feeds(job, bench)
    kept = Kept(job.rules)
    trained: int | None = None
    if method.steps:
        training = _training(job, bench, method, feeds)
        if bench.ranks and method.coupled:
            bench.say(f"{job.name}: {job.spec['method']['method']} couples rows of a batch, each process its own share")
        trained = sum(p.numel() for p in method.parameters() if p.requires_grad)
        _Steps(job, bench, claim, training, kept, tasks).run()
        method = training.whole
    start = _Start(job.spec["net"], bench)
    for rule in kept.handed_on(method):
        reseed((seed32(job) - 1) & 0xFFFFFFFF)
        method.eval()
        method.finish(feeds)
        claim.put(f"model-{rule}.safetensors", pack(*start.changed(*_named(method.result()))))
        bench.stop()
    if start.needs:
        claim.put_json(NEEDS, start.needs)
    _put_tokenizer(job, bench, claim)
    claim.put_json("results.json", _facts(kept.facts(), method.result()["net"], trained))


def follow(jobs: Mapping[str, Job], bench: Bench) -> None:
    """The work of every rank but the first: its share of each step of the stages that rank 0 names, to the end."""
    assert bench.ranks is not None, "called by ranks only"
    while word := bench.ranks.hear():
        job = jobs[word["stage"]]
        if job.key != word["key"]:
            raise DataError(Fault(job.name, "data or code changed while the run began", do="the same command again"))
        with suppress(Diverged):  # found by all at the same step; rank 0 tells
            _followed(job, bench, word["step"])


def _followed(job: Job, bench: Bench, first: int) -> None:
    assert bench.ranks is not None, "called by ranks only"
    training = _training(job, bench, _method(job, bench)[0], _feeds(job, bench))
    if data := bench.ranks.share(b""):
        training.load_state(unpack(data)[0])
    looks = _looks(job, training.trainer)
    for t in range(first, training.trainer.steps):
        training.step(t)
        if t + 1 in looks:
            training.gather()
        code, due = agreed(bench.stop.code, False, bench.ranks)
        if training.sharded and (code or due):
            training.state()  # rank 0 puts it together and saves it
        if code:
            return
    training.gather()


def _looks(job: Job, trainer: Trainer) -> frozenset[int]:
    """After which steps the net is validated."""
    judged = "oracle" in job.spec or any(rule != "final" for rule in job.rules)
    return validation_steps(trainer.steps, trainer.validations if judged else 0)


def _feeds(job: Job, bench: Bench) -> dict[str, Feed]:
    batch = job.spec.get("trainer", {}).get("batch", 128)
    return {name: bench.stream(job, name, batch) for name in job.spec["streams"]}


def _training(job: Job, bench: Bench, method: Method, feeds: dict[str, Feed]) -> Training:
    trainer, precision = Trainer(**job.spec["trainer"]), bench.precision(job)
    return Training(
        method,
        feeds,
        trainer,
        seed32=seed32(job),
        precision=precision,
        device=bench.device,
        ranks=bench.ranks,
        sharded=bench.shard,
    )


def _put_tokenizer(job: Job, bench: Bench, claim: Claim) -> None:
    """What a net of texts cannot be used without."""
    if digest := job.spec["model"]["input"].get("digest"):
        claim.put("tokenizer.json", text_of(digest, bench.cache))


def _method(job: Job, bench: Bench, *, heads: bool = False) -> tuple[Method, dict[str, Any]]:
    """The method and its tasks. `heads`: also for streams without labels, whose head an earlier stage makes."""
    net = bench.net(job, job.spec["net"])
    reseed(seed_for(job.seed, job.spec["role"], "method", bits=32))
    tasks: dict[str, Task] = {name: bench.task(job, view["side"]) for name, view in job.spec["streams"].items()}
    for name, view in job.spec["streams"].items():
        if view["labelled"] or heads:
            tasks[name].prepare(net)
    rows = {
        name: len(bench.items(job, v["side"], v["part"], labelled=v["labelled"], seed=job.seed))
        for name, v in job.spec["streams"].items()
    }
    return bench.method(job, Given(net=net, tasks=tasks, rows=rows)), tasks


def _named(parts: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A stage's result: nets under their names, plain tensors under theirs, descriptions by name of the net."""
    tensors: dict[str, Tensor] = {}
    meta: dict[str, Any] = {}
    for name, part in parts.items():
        if isinstance(part, Tensor):
            tensors[name] = part
            continue
        meta[name] = part.describe()
        tensors |= {f"{name}.{key}": value for key, value in part.state_dict().items()}
    return tensors, meta


class _Start:
    """The stored net that a stage began with. What is still in it bit for bit is not stored again: a linear probe
    keeps its head, LoRA its matrices and the head. `needs` is then that net's file, with its hash."""

    def __init__(self, ref: dict[str, Any], bench: Bench) -> None:
        self.ref = ref
        self.needs: list[tuple[str, str, str]] = []
        self._tensors: dict[str, Tensor] = {}
        if "key" in ref:
            self._digest = bench.store.digest(ref["key"], model_file(ref))
            self._tensors = {f"{ref['part']}.{name}": x for name, x in bench.tensors(ref)[0].items()}

    def changed(self, tensors: dict[str, Tensor], meta: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What differs from the start, and the descriptions, which name the start if anything is left out."""
        kept = {n: x for n, x in tensors.items() if n not in self._tensors or not same_bits(x, self._tensors[n])}
        if len(kept) == len(tensors):
            return tensors, meta
        self.needs = [(self.ref["key"], model_file(self.ref), self._digest)]
        part = self.ref["part"]
        return kept, meta | {part: meta[part] | {"parent": self.ref}}


def _facts(rules: dict[str, Any], net: Any, trained: int | None) -> dict[str, Any]:
    total = sum(p.numel() for p in net.parameters())
    head = sum(p.numel() for p in net.heads.parameters())
    return {"rules": rules, "parameters": total, "trained": head if trained is None else trained}


class _Steps:
    """Steps with rows, validations, resume files and signals."""

    def __init__(
        self, job: Job, bench: Bench, claim: Claim, training: Training, kept: Kept, tasks: dict[str, Any]
    ) -> None:
        self.job, self.bench, self.claim, self.training, self.kept, self.tasks = (
            job,
            bench,
            claim,
            training,
            kept,
            tasks,
        )
        self.steps = training.trainer.steps
        self.stride = -(-self.steps // LOGGED_ROWS)
        self.held_out = {rule: self._feed(rule) for rule in job.rules if rule != "final"}
        self.goes_by = {rule: bench.task(job, rule.removesuffix("_val")).primary for rule in self.held_out}
        self.oracle = bench.feed(job, "target", "test", seed=job.seed) if "oracle" in job.spec else None
        self.looks = _looks(job, training.trainer)
        self.saved, self.cost = time.monotonic(), 0.0
        self.identity = bench.identity(job)

    def _feed(self, rule: str) -> Any:
        return self.bench.feed(self.job, rule.removesuffix("_val"), "val", seed=self.job.seed)

    def run(self) -> None:
        first = self._resume()
        begun = time.monotonic()
        for t in range(first, self.steps):
            logs = self.training.step(t)
            if t % self.stride == 0 or t + 1 == self.steps:
                self._log(t, logs)
            if t + 1 in self.looks:
                self._look(t + 1)
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

    def _look(self, step: int) -> None:
        """The selection rules look; a better snapshot is kept. Draws nothing, so training goes on as if unseen."""
        self.training.check(step)
        self.training.gather()
        found = {rule: self._metrics(rule, feed) for rule, feed in self.held_out.items()}
        row = {f"{rule}/{name}": m[name] for rule, (task, m) in found.items() for name in task.watched}
        if self.oracle is not None:
            task, metrics = self._metrics("target_val", self.oracle)
            row[f"oracle/{task.primary}"] = metrics[task.primary]
        self._row({"step": step, **row})
        for rule, (task, metrics) in found.items():
            self.kept.keep(rule, step, task.better(metrics), row, self.training.whole)

    def _metrics(self, rule: str, feed: Any) -> tuple[Task, dict[str, float]]:
        task = self.bench.task(self.job, rule.removesuffix("_val"))
        net = self.training.whole.result()["net"]
        return task, task.metrics(passes.rows(net, task, feed, self.bench.precision(self.job)))

    def _tell(self, step: int, first: int, begun: float, logs: dict[str, Tensor]) -> None:
        """The screen; it throttles itself."""
        if not self.bench.talk.due():
            return
        rows = sum(feed.batch for feed in self.training.feeds.values())
        rate = (step - first) * rows / max(1e-9, time.monotonic() - begun)
        self.bench.talk.step(self.job.name, step, self.steps, float(logs["loss"]), rate, self.kept.best(self.goes_by))

    # resume files
    def _pause(self, step: int) -> None:
        """Saves when due or when a signal asks to leave."""
        every = self.bench.save_every
        due = step < self.steps and (not every or time.monotonic() - self.saved >= max(every, 20 * self.cost))
        code, due = agreed(self.bench.stop.code, due, self.bench.ranks)
        if code or due:
            self._save(step)
        if code:
            raise self.bench.stop.error(code, f"{self.job.name} {step:,} of {self.steps:,}, ")

    def _save(self, step: int) -> None:
        self.training.check(step)
        self.bench.unchanged()
        start = time.monotonic()
        size, prefix = self.claim.rows_state()
        meta = {
            "step": step,
            "rows": [size, prefix],
            "kept": self.kept.facts(),
            "identity": self.identity,
        }
        self.claim.save_resume(step, pack(self.training.state() | self.kept.tensors(), meta))
        self.saved = time.monotonic()
        self.cost = self.saved - start

    def _resume(self) -> int:
        """Puts the newest valid resume file back; returns the step to go on from."""
        for step, data in self.claim.resume():
            tensors, meta = unpack(data)
            if not self.claim.truncate_rows(*meta["rows"]):
                continue
            self.training.load_state(tensors)
            self.kept.load(meta["kept"], tensors)
            self._same_identity({"processes": 1} | meta["identity"])
            self.bench.say(f"{self.job.name} goes on at step {step:,} of {self.steps:,}")
            return self._begun(int(meta["step"]), data)
        self.claim.truncate_rows()
        return self._begun(0, b"")

    def _begun(self, step: int, data: bytes) -> int:
        """Calls the other ranks, if any, to the same step and state."""
        if ranks := self.bench.ranks:
            ranks.tell({"stage": self.job.name, "key": self.job.key, "step": step})
            ranks.share(data)
        return step

    def _same_identity(self, before: dict[str, Any]) -> None:
        """A stage that began in another identity class may differ in its last bits: said and recorded, or refused."""
        mixed = before.get("mixed") or identity_change(self.identity, before)
        if mixed is None:
            return
        if self.bench.strict_identity:
            raise other_class(self.job.name, mixed)
        self.bench.say(f"warning: {self.job.name} resumed under {mixed}: not bit-identical")
        self.identity = self.identity | {"mixed": mixed}
        self.claim.put_json("stage.json", {"spec": self.job.spec, "identity": self.identity})
