"""Training on random tokens in memory, as the engine does it in a stage: what benchmarks of texts time."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfer_cli.engine import timing
from transfer_cli.engine.loader import Address, StepLoader
from transfer_cli.engine.settings import Trainer
from transfer_cli.engine.training_step import Training
from transfer_cli.kinds.texts import TextRows, Tokens, flat
from transfer_cli.models import net as nets
from transfer_cli.task_contracts import TaskContext
from transfer_cli.tasks.classify import Classify
from transfer_cli.tasks.language import Blocks, Language

CPU = torch.device("cpu")
LENGTH, VOCABULARY = 128, 8000  # of a text to classify: most tokens, tokens there are
BLOCK, CHARACTERS = 64, 65  # of the character model: nanoGPT's block, the characters of tiny Shakespeare
CLASSIFIER = Trainer(steps=100_000, batch=32, optimizer="adamw", lr=0.001)
GPT = Trainer(steps=100_000, batch=12, optimizer="adamw", lr=0.001, weight_decay=0.1, clip=1.0, schedule="constant")
ADDRESS = Address(0, "fine_tune", "target")


def model(family: str, size: int, length: int, **keys: Any) -> dict[str, Any]:
    """A model node that reads texts."""
    spec = {"tokenizer": "byte", "length": length, "size": size, "digest": ""}
    return {"family": family, **keys, "input": spec, "precision": "fp32", "channels_last": False}


def texts(rows: int = 4096) -> list[list[int]]:
    """Random tokens, log-normal about 30 a text: most are short, some fill the window."""
    rng = np.random.default_rng(0)
    lengths = rng.lognormal(3.4, 0.7, rows).clip(4, LENGTH).astype(int)
    return [rng.integers(1, VOCABULARY, length).tolist() for length in lengths]


def text_feed(rows: list[list[int]]) -> StepLoader:
    """A training loader of texts in two classes."""
    view: Any = SimpleNamespace(index=np.arange(len(rows)), labels=np.arange(len(rows)) % 2)
    items = TextRows(flat(rows), view, length=LENGTH, policy="none", device=CPU)
    return StepLoader(items, ADDRESS, batch=CLASSIFIER.batch)


def block_feed(ids: Tensor) -> StepLoader:
    """A training loader of blocks that begin anywhere in one long text [N]."""
    view: Any = SimpleNamespace(index=np.arange(1), labels=np.zeros(1, np.int64))
    tokens = Tokens(ids.to(torch.int32), np.array([0, len(ids)]))
    return StepLoader(
        Blocks(TextRows(tokens, view, length=BLOCK, policy="weak", device=CPU), view), ADDRESS, batch=GPT.batch
    )


def classifier(net: nets.Net, batches: StepLoader) -> Training:
    """Supervised training of a classifier."""
    return _training(net, batches, Classify(TaskContext(tuple(["negative", "positive"]))), CLASSIFIER)


def language(net: nets.Net, batches: StepLoader) -> Training:
    """Supervised training of a language model, each token a character."""
    tokenizer: Any = SimpleNamespace(size=CHARACTERS, chars=np.ones(CHARACTERS, np.int64))
    return _training(net, batches, Language(TaskContext((), tokenizer=tokenizer)), GPT)


def _training(net: nets.Net, batches: StepLoader, task: Any, trainer: Trainer) -> Training:
    return timing.training(net.recipe, net, batches, trainer, task)
