"""Training on random rows in memory, as the engine does it in a stage: what benchmarks time, and what precision and
layout cost a net on this machine."""

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
    """Random uint8 pixels [N, C, H, W] as a model node wants them, and labels [N]."""
    rng, spec = np.random.default_rng(0), node["input"]
    made = rng.integers(0, 256, (rows, spec["channels"], spec["crop"], spec["crop"]), dtype=np.uint8)
    return made, rng.integers(0, CLASSES, rows)


def loader(node: Json, policy: str, batch: int, *, rows: int = ROWS, device: str = "cpu") -> StepLoader:
    """A training loader over `pixels`."""
    made, labels = pixels(node, rows)
    view: Any = SimpleNamespace(index=np.arange(rows), labels=labels)
    where = torch.device(device)
    items = PictureRows(torch.from_numpy(made).to(where), view, node, policy=policy, flip=True, device=where)
    return StepLoader(items, Address(0, "fine_tune", "target"), batch=batch)


def training(node: Json, net: Net, batches: Loader, trainer: Trainer, task: Task | None = None) -> Training:
    """Supervised training of `net`, for `CLASSES` classes unless there is another task."""
    task = task or Classify(TaskContext(NAMES))
    task.prepare(net)
    device = next(net.parameters()).device
    method = Supervised(MethodInputs(net=net, tasks={"target": task})).to(device)
    return Training(method, {"target": batches}, trainer, seed32=1, precision=node["precision"], device=device)


def variants(node: Json) -> dict[str, Json]:
    """The values of a model node that may be faster, by the words that choose them; the plainest first. Only pictures
    have a layout."""
    layouts = (False, True) if "crop" in node["input"] else (False,)
    made = {}
    for precision, last in itertools.product(("fp32", "bf16"), layouts):
        word = f"model.precision={precision}" + (
            f" model.channels_last={str(last).lower()}" if len(layouts) > 1 else ""
        )
        made[word] = node | {"precision": precision, "channels_last": last}
    return made


def contestants(node: Json, trainer: Trainer, device: torch.device) -> tuple[Contestants, Contestants]:
    """A training step of `trainer.batch` rows, and the evaluation of as many, in each variant."""
    steps, looks = {}, {}
    for word, changed in variants(node).items():
        net, t = nets.build(changed).to(device), itertools.count()
        batches, task = _rows(changed, net, trainer.batch, device)
        made = training(changed, net, batches, trainer, task)
        steps[word] = lambda made=made, t=t: float(made.step(next(t))["loss"])  # a float: a GPU must be done
        looks[word] = lambda made=made, net=net, task=task, precision=changed["precision"]: _looked(
            net, task, made.loaders["target"], precision
        )
    return steps, looks


def _looked(net: Net, task: Task, batches: Any, precision: str) -> None:
    for part in inference.rows(net, scoring_of(task), batches, precision).values():
        part.cpu()


def _rows(node: Json, net: Net, batch: int, device: torch.device) -> tuple[StepLoader, Task]:
    """One batch of random rows, without augmentation, and what is learned from them."""
    task: Task = Classify(TaskContext(NAMES))
    if "crop" in node["input"]:
        return loader(node, "none", batch, rows=batch, device=str(device)), task
    length, size = node["input"]["length"], node["input"]["size"]
    rng = np.random.default_rng(0)
    causal = net.backbone.causal
    tokens = flat(list(rng.integers(0, size, (1, batch * length + 1) if causal else (batch, length))))
    view: Any = SimpleNamespace(index=np.arange(len(tokens.starts) - 1), labels=rng.integers(0, CLASSES, batch))
    if causal:
        known: Any = SimpleNamespace(size=size, chars=np.ones(size, np.int64))
        task = Language(TaskContext((), tokenizer=known))
    texts = TextRows(tokens, view, length=length, policy="none", device=device)
    items = task.wrap(texts, view)
    return StepLoader(items, Address(0, "fine_tune", "target"), batch=batch), task


def fastest(words: Iterator[tuple[str, float]], tie: float = 0.05) -> str:
    """The word of the least seconds; one before it that is not slower by more than `tie` is as good, and plainer."""
    found = list(words)
    least = min(seconds for _, seconds in found)
    return next(word for word, seconds in found if seconds <= least * (1 + tie))
