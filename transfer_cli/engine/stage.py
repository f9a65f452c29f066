"""One stage from claim to DONE: trained step by step with resume files, or finished in one go, or evaluated."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from torch import Tensor

from transfer_cli.contracts import Loader, Method, MethodInputs
from transfer_cli.data.tokenizers import text_of
from transfer_cli.engine.device import peak_bytes, reseed
from transfer_cli.engine.evaluation import evaluate, part_of
from transfer_cli.engine.ranks import Lost, agreed
from transfer_cli.engine.settings import Trainer
from transfer_cli.engine.snapshot_selection import SnapshotSelection
from transfer_cli.engine.stage_context import Job, StageContext, model_file
from transfer_cli.engine.trainer import Steps, looks_of
from transfer_cli.engine.training_step import Training
from transfer_cli.errors import DataError, Diverged, Fault, StoreError
from transfer_cli.models.tensors import pack, same_bits, unpack
from transfer_cli.models.weights import load
from transfer_cli.seeds import seed_for
from transfer_cli.store.claim import Claim
from transfer_cli.store.commit import canonical
from transfer_cli.store.store import NEEDS
from transfer_cli.task_contracts import Task


def run_stage(job: Job, context: StageContext, claim: Claim) -> None:
    """Computes the stage under `claim` and finishes it. Raises Diverged (recorded), Stopped (saved) and the rest."""
    start = time.monotonic()
    claim.put_json("stage.json", {"spec": job.spec, "identity": context.identity(job)})
    try:
        {"train": _train, "given": _given, "evaluate": evaluate}[job.spec["kind"]](job, context, claim)
        context.unchanged()
    except Diverged as error:
        fault = replace(error.faults[0], key=job.name)
        claim.fail({"fault": fault.text})
        raise Diverged(fault) from error
    except Lost as lost:
        assert context.ranks is not None, "alone, nobody is lost"
        raise context.ranks.cause(lost) from lost
    finally:
        timing = {"seconds": time.monotonic() - start, "peak_bytes": peak_bytes(context.device)}
        claim.append_timing(canonical(timing) + b"\n")
    claim.finish()


def rehearse(job: Job, context: StageContext) -> None:
    """Opens the pictures of a stage and makes its method on an untaught net: what is wrong with them is told before
    the stages that come first are computed. Every stage seeds itself, so this changes none."""
    if job.spec["kind"] == "train":
        _method(replace(job, spec=job.spec | {"net": {"init": 0}}), context, heads=True)
        _feeds(job, context)
    if job.spec["kind"] == "evaluate":
        context.items(job, "target", part_of(job), labelled=True, seed=job.seed)


def seed32(job: Job) -> int:
    """The 32-bit seed of step 0: from (seed, role), never from the key."""
    return seed_for(job.seed, job.spec.get("role", job.name), bits=32)


def _given(job: Job, context: StageContext, claim: Claim) -> None:
    if job.weights is None:  # the stage of another run, which only that run's words can compute
        text = "the net of that run is damaged, or no longer in the store"
        raise StoreError(Fault("weights", text, do="run that run's words again; they are in its overrides.txt"))
    net = context.net(job, {"init": 0})
    report = load(net, job.weights, sha256=job.spec["weights"])
    for line in report.lines():
        context.say(line)
    claim.put("model-final.safetensors", pack(*_named({"net": net})))
    _put_tokenizer(job, context, claim)
    claim.put_json("results.json", _facts({"final": {"step": 0}}, net, 0))


def _train(job: Job, context: StageContext, claim: Claim) -> None:
    method, tasks = _method(job, context)
    loaders = _feeds(job, context)
    kept = SnapshotSelection(job.rules)
    trained: int | None = None
    if method.steps:
        training = _training(job, context, method, loaders)
        if context.ranks and method.coupled:
            context.say(
                f"{job.name}: {job.spec['method']['method']} couples rows of a batch, each process its own share"
            )
        trained = sum(p.numel() for p in method.parameters() if p.requires_grad)
        Steps(job, context, claim, training, kept, tasks).run()
        method = training.whole
    start = _Start(job.spec["net"], context)
    for rule in kept.handed_on(method):
        reseed((seed32(job) - 1) & 0xFFFFFFFF)
        method.eval()
        method.finish(loaders)
        claim.put(f"model-{rule}.safetensors", pack(*start.changed(*_named(method.result()))))
        context.stop()
    if start.needs:
        claim.put_json(NEEDS, start.needs)
    _put_tokenizer(job, context, claim)
    claim.put_json("results.json", _facts(kept.facts(), method.result()["net"], trained))


def follow(jobs: Mapping[str, Job], context: StageContext) -> None:
    """The work of every rank but the first: its share of each step of the stages that rank 0 names, to the end."""
    assert context.ranks is not None, "called by ranks only"
    while word := context.ranks.hear():
        job = jobs[word["stage"]]
        if job.key != word["key"]:
            raise DataError(Fault(job.name, "data or code changed while the run began", do="the same command again"))
        with suppress(Diverged):  # found by all at the same step; rank 0 tells
            _followed(job, context, word["step"])


def _followed(job: Job, context: StageContext, first: int) -> None:
    assert context.ranks is not None, "called by ranks only"
    training = _training(job, context, _method(job, context)[0], _feeds(job, context))
    if data := context.ranks.share(b""):
        training.load_state(unpack(data)[0])
    looks = looks_of(job, training.trainer)
    for t in range(first, training.trainer.steps):
        training.step(t)
        if t + 1 in looks:
            training.gather()
        code, due = agreed(context.stop.code, False, context.ranks)
        if training.sharded and (code or due):
            training.state()  # rank 0 puts it together and saves it
        if code:
            return
    training.gather()


def _feeds(job: Job, context: StageContext) -> dict[str, Loader]:
    batch = job.spec.get("trainer", {}).get("batch", 128)
    return {name: context.stream(job, name, batch) for name in job.spec["streams"]}


def _training(job: Job, context: StageContext, method: Method, loaders: dict[str, Loader]) -> Training:
    trainer, precision = Trainer(**job.spec["trainer"]), context.precision(job)
    return Training(
        method,
        loaders,
        trainer,
        seed32=seed32(job),
        precision=precision,
        device=context.device,
        ranks=context.ranks,
        sharded=context.shard,
    )


def _put_tokenizer(job: Job, context: StageContext, claim: Claim) -> None:
    """What a net of texts cannot be used without."""
    if digest := job.spec["model"]["input"].get("digest"):
        claim.put("tokenizer.json", text_of(digest, context.cache))


def _method(job: Job, context: StageContext, *, heads: bool = False) -> tuple[Method, dict[str, Any]]:
    """The method and its tasks. `heads`: also for streams without labels, whose head an earlier stage makes."""
    net = context.net(job, job.spec["net"])
    reseed(seed_for(job.seed, job.spec["role"], "method", bits=32))
    tasks: dict[str, Task] = {name: context.task(job, view["side"]) for name, view in job.spec["streams"].items()}
    for name, view in job.spec["streams"].items():
        if view["labelled"] or heads:
            tasks[name].prepare(net)
    rows = {
        name: len(context.items(job, v["side"], v["part"], labelled=v["labelled"], seed=job.seed))
        for name, v in job.spec["streams"].items()
    }
    domains = {name: job.data[view["side"]].raw.domains for name, view in job.spec["streams"].items()}
    return context.method(job, MethodInputs(net=net, tasks=tasks, rows=rows, domains=domains)), tasks


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

    def __init__(self, ref: dict[str, Any], context: StageContext) -> None:
        self.ref = ref
        self.needs: list[tuple[str, str, str]] = []
        self._tensors: dict[str, Tensor] = {}
        if "key" in ref:
            self._digest = context.store.digest(ref["key"], model_file(ref))
            self._tensors = {f"{ref['part']}.{name}": x for name, x in context.tensors(ref)[0].items()}

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
