"""Computes one stage under its claim. A stage is a training by steps with resume files, a method without steps, a net
given by `weights`, or an evaluation."""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from transfer_cli.contracts import Loader, Method, MethodInputs
from transfer_cli.data.tokenizers import text_of
from transfer_cli.engine import views
from transfer_cli.engine.device import peak_bytes, reseed
from transfer_cli.engine.evaluation import evaluate, part_of
from transfer_cli.engine.handed_on import HandedOn, named
from transfer_cli.engine.loader import StepLoader
from transfer_cli.engine.parents import parent
from transfer_cli.engine.ranks import Lost, agreed
from transfer_cli.engine.settings import Trainer
from transfer_cli.engine.snapshot_selection import SnapshotSelection
from transfer_cli.engine.stage_context import Job, StageContext
from transfer_cli.engine.trainer import TrainingLoop, gathers_of, marks_of
from transfer_cli.engine.training_step import Training
from transfer_cli.errors import DataError, Diverged, Fault, StoreError
from transfer_cli.models.tensors import pack, unpack
from transfer_cli.models.weights import load
from transfer_cli.seeds import seed_for
from transfer_cli.store.claim import Claim
from transfer_cli.store.commit import canonical
from transfer_cli.task_contracts import Task


def run_stage(job: Job, context: StageContext, claim: Claim) -> None:
    """Computes the stage under `claim` and finishes it. Raises Diverged (recorded in the store), Stopped (after a
    resume file is saved), and the errors of data, nets and processes."""
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
        assert context.ranks is not None, "only other ranks can be lost"
        raise context.ranks.cause(lost) from lost
    finally:
        timing = {"seconds": time.monotonic() - start, "peak_bytes": peak_bytes(context.device)}
        claim.append_timing(canonical(timing) + b"\n")
    claim.finish()


def rehearse(job: Job, context: StageContext) -> None:
    """Opens the data of a stage and creates its method with an untrained net, so that errors are raised before earlier
    stages are computed. Does not change results, because every stage sets its own seeds."""
    if job.spec["kind"] == "train":
        loaders = _loaders(job, context)
        _method(replace(job, spec=job.spec | {"net": {"init": 0}}), context, loaders, heads=True)
    if job.spec["kind"] == "evaluate":
        views.check(job, context.device)
        context.items(job, "target", part_of(job), labelled=True, seed=job.seed)


def seed32(job: Job) -> int:
    """The 32-bit seed of step 0. It depends on (seed, role), not on the key."""
    return seed_for(job.seed, job.spec.get("role", job.name), bits=32)


def _given(job: Job, context: StageContext, claim: Claim) -> None:
    if job.weights is None:  # the stage belongs to another run, and only the words of that run can compute it
        text = "the net of that run is damaged, or no longer in the store"
        raise StoreError(Fault("weights", text, do="run that run's words again; they are in its overrides.txt"))
    net = context.net(job, {"init": 0})
    report = load(net, job.weights, sha256=job.spec["weights"])
    for line in report.lines():
        context.say(line)
    claim.put("model-final.safetensors", pack(*named({"net": net})))
    _put_tokenizer(job, context, claim)
    claim.put_json("results.json", _facts({"final": {"step": 0}}, net, 0))


def _train(job: Job, context: StageContext, claim: Claim) -> None:
    loaders = _loaders(job, context)
    method = _method(job, context, loaders)
    selection = SnapshotSelection(job.rules)
    handed_on = HandedOn(job, context, claim, loaders, seed32=(seed32(job) - 1) & 0xFFFFFFFF)
    trained: int | None = None
    marks: dict[str, Any] = {}
    if method.steps:
        training = _training(job, context, method, loaders)
        if context.ranks and method.coupled:
            context.say(
                f"{job.name}: {job.spec['method']['method']} couples rows of a batch, each process its own share"
            )
        trained = sum(p.numel() for p in method.parameters() if p.requires_grad)
        TrainingLoop(job, context, claim, training, selection, handed_on).run()
        method = training.whole
        marks = {name: {"step": step} for name, step in marks_of(job, training.trainer).items()}
    for rule in selection.handed_on(method):
        handed_on.write(rule, method)
        context.stop()
    handed_on.write_needs()
    _put_tokenizer(job, context, claim)
    claim.put_json("results.json", _facts(selection.facts() | marks, method.result()["net"], trained))


def follow(jobs: Mapping[str, Job], context: StageContext) -> None:
    """The work of every rank except rank 0: computes its share of each step of the stages that rank 0 sends, until the
    end of the run. Raises DataError if the keys of a stage differ between ranks."""
    assert context.ranks is not None, "called by ranks only"
    while message := context.ranks.receive():
        job = jobs[message["stage"]]
        if job.key != message["key"]:
            raise DataError(Fault(job.name, "data or code changed while the run began", do="the same command again"))
        with suppress(Diverged):  # all ranks raise it at the same step; rank 0 reports it
            _followed(job, context, message["step"])


def _followed(job: Job, context: StageContext, first: int) -> None:
    assert context.ranks is not None, "called by ranks only"
    loaders = _loaders(job, context)
    training = _training(job, context, _method(job, context, loaders), loaders)
    if data := context.ranks.broadcast(b""):
        training.load_state(unpack(data)[0])
    gathers = gathers_of(job, training.trainer)
    for t in range(first, training.trainer.steps):
        training.step(t)
        if t + 1 in gathers:
            training.gather()
        code, due = agreed(context.stop.code, False, context.ranks)
        if training.sharded and (code or due):
            training.state()  # a collective: rank 0 gathers the whole tensors and saves them
        if code:
            return
    training.gather()


def _loaders(job: Job, context: StageContext) -> dict[str, StepLoader]:
    batch = job.spec.get("trainer", {}).get("batch", 128)
    return {name: context.stream(job, name, batch) for name in job.spec["streams"]}


def _training(job: Job, context: StageContext, method: Method, loaders: Mapping[str, Loader]) -> Training:
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
    """Stores the tokenizer, without which a net of texts cannot be used."""
    if digest := job.spec["model"]["input"].get("digest"):
        claim.put("tokenizer.json", text_of(digest, context.cache))


def _method(job: Job, context: StageContext, loaders: Mapping[str, StepLoader], *, heads: bool = False) -> Method:
    """The method of a stage. `heads`: add heads for streams without labels as well; otherwise these heads come from an
    earlier stage."""
    net = context.net(job, job.spec["net"])
    parts = {name: parent(job, context, name) for name in job.spec.get("parents", {})}
    reseed(seed_for(job.seed, job.spec["role"], "method", bits=32))
    streams = job.spec["streams"]
    tasks: dict[str, Task] = {name: context.task(job, view["side"]) for name, view in streams.items()}
    for name, view in streams.items():
        if (view["labelled"] or heads) and context.method_class(job).heads:
            tasks[name].prepare(net)
    inputs = MethodInputs(
        net=net,
        tasks=tasks,
        rows={name: loader.rows for name, loader in loaders.items()},
        domains={name: job.data[view["side"]].raw.domains for name, view in streams.items()},
        parts=parts,
        groups={name: groups for name, loader in loaders.items() if (groups := loader.groups()) is not None},
    )
    return context.method(job, inputs)


def _facts(rules: dict[str, Any], net: Any, trained: int | None) -> dict[str, Any]:
    total = sum(p.numel() for p in net.parameters())
    head = sum(p.numel() for p in net.heads.parameters())
    return {"rules": rules, "parameters": total, "trained": head if trained is None else trained}
