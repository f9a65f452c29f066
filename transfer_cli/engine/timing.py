"""Training on random rows in memory, computed as in a stage. Used by benchmarks, and by `transfer doctor` to measure
which precision and memory layout are fastest for a net on this machine."""

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from transfer_cli.contracts import Loader, MethodInputs
from transfer_cli.engine import inference
from transfer_cli.engine.interleaved_timing import Contestants
from transfer_cli.engine.loader import Address, StepLoader
from transfer_cli.engine.settings import Trainer
from transfer_cli.engine.stage_context import scoring_of
from transfer_cli.engine.training_step import Training
from transfer_cli.kinds.pictures import PictureRows
from transfer_cli.kinds.texts import TextRows, flat
from transfer_cli.methods.supervised import Supervised
from transfer_cli.models import net as nets
from transfer_cli.models.net import Net
from transfer_cli.task_contracts import Task, TaskContext
from transfer_cli.tasks.classify import Classify
from transfer_cli.tasks.language import Language

CLASSES = 10
NAMES = tuple(map(str, range(CLASSES)))
ROWS = 1024
Json = dict[str, Any]


def pixels(node: Json, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Random uint8 pixels [N, C, H, W] for the input of a model node, and labels [N]."""
    rng, spec = np.random.default_rng(0), node["input"]
    images = rng.integers(0, 256, (rows, spec["channels"], spec["crop"], spec["crop"]), dtype=np.uint8)
    return images, rng.integers(0, CLASSES, rows)


def loader(node: Json, policy: str, batch: int, *, rows: int = ROWS, device: str = "cpu") -> StepLoader:
    """A data loader for training over `pixels`."""
    images, labels = pixels(node, rows)
    view: Any = SimpleNamespace(index=np.arange(rows), labels=labels)
    where = torch.device(device)
    items = PictureRows(torch.from_numpy(images).to(where), view, node, policy=policy, flip=True, device=where)
    return StepLoader(items, Address(0, "fine_tune", "target"), batch=batch)


def training(node: Json, net: Net, batches: Loader, trainer: Trainer, task: Task | None = None) -> Training:
    """A supervised training of `net`; the default task is to classify `CLASSES` classes."""
    task = task or Classify(TaskContext(NAMES))
    task.prepare(net)
    device = next(net.parameters()).device
    method = Supervised(MethodInputs(net=net, tasks={"target": task})).to(device)
    return Training(method, {"target": batches}, trainer, seed32=1, precision=node["precision"], device=device)


def variants(node: Json) -> dict[str, Json]:
    """Variants of a model node that may be faster, by the words that select them; the simplest comes first. Only models
    of pictures have a memory layout to choose."""
    layouts = (False, True) if "crop" in node["input"] else (False,)
    nodes = {}
    for precision, last in itertools.product(("fp32", "bf16"), layouts):
        word = f"model.precision={precision}" + (
            f" model.channels_last={str(last).lower()}" if len(layouts) > 1 else ""
        )
        nodes[word] = node | {"precision": precision, "channels_last": last}
    return nodes


def contestants(node: Json, trainer: Trainer, device: torch.device) -> tuple[Contestants, Contestants]:
    """For each variant, a function that computes one training step of `trainer.batch` rows, and one that evaluates as
    many rows."""
    steps, evaluations = {}, {}
    for word, changed in variants(node).items():
        net, t = nets.build(changed).to(device), itertools.count()
        batches, task = _rows(changed, net, trainer.batch, device)
        run = training(changed, net, batches, trainer, task)
        steps[word] = lambda run=run, t=t: float(run.step(next(t))["loss"])  # float() waits for the GPU
        evaluations[word] = lambda run=run, net=net, task=task, precision=changed["precision"]: _evaluate(
            net, task, run.loaders["target"], precision
        )
    return steps, evaluations


def _evaluate(net: Net, task: Task, batches: Any, precision: str) -> None:
    for part in inference.rows(net, scoring_of(task), batches, precision).values():
        part.cpu()


def _rows(node: Json, net: Net, batch: int, device: torch.device) -> tuple[StepLoader, Task]:
    """A data loader with one batch of random rows without augmentation, and the task that is learned from them."""
    task: Task = Classify(TaskContext(NAMES))
    if "crop" in node["input"]:
        return loader(node, "none", batch, rows=batch, device=str(device)), task
    length, size = node["input"]["length"], node["input"]["size"]
    rng = np.random.default_rng(0)
    causal = net.backbone.causal
    tokens = flat(list(rng.integers(0, size, (1, batch * length + 1) if causal else (batch, length))))
    view: Any = SimpleNamespace(index=np.arange(len(tokens.starts) - 1), labels=rng.integers(0, CLASSES, batch))
    if causal:
        tokenizer: Any = SimpleNamespace(size=size, chars=np.ones(size, np.int64))
        task = Language(TaskContext((), tokenizer=tokenizer))
    texts = TextRows(tokens, view, length=length, policy="none", device=device)
    items = task.wrap(texts, view)
    return StepLoader(items, Address(0, "fine_tune", "target"), batch=batch), task


def fastest(words: Iterator[tuple[str, float]], tie: float = 0.05) -> str:
    """The words of the fastest variant, from pairs (words, seconds). An earlier, simpler variant is preferred if it is
    slower by at most the fraction `tie`."""
    pairs = list(words)
    least = min(seconds for _, seconds in pairs)
    return next(word for word, seconds in pairs if seconds <= least * (1 + tie))
