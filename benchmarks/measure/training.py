"""Training on random pictures in memory, as the engine does it in a stage: what benchmarks time."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from transfer_cli.contracts import Feed, Given
from transfer_cli.data.images import Images
from transfer_cli.data.tasks import Classification
from transfer_cli.engine.feed import Address, StepFeed
from transfer_cli.engine.loop import Training
from transfer_cli.engine.settings import Trainer
from transfer_cli.methods.supervised import Supervised
from transfer_cli.models.net import Net

CPU = torch.device("cpu")
CLASSES = 10
TRAINER = Trainer(steps=100_000, batch=128, lr=0.01)
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def model(family: str, size: int, *, channels: int = 3, precision: str = "bf16", **keys: Any) -> dict[str, Any]:
    """A model node for `size` x `size` pictures; bf16 goes with channels last."""
    numbers = IMAGENET if channels == 3 else {"mean": [0.5], "std": [0.5]}
    spec = {"channels": channels, "size": size, "crop": size, **numbers}
    return {"family": family, **keys, "input": spec, "precision": precision, "channels_last": precision == "bf16"}


def data(node: dict[str, Any], rows: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """Random uint8 pixels [N, C, H, W] and labels [N]."""
    rng, spec = np.random.default_rng(0), node["input"]
    pixels = rng.integers(0, 256, (rows, spec["channels"], spec["crop"], spec["crop"]), dtype=np.uint8)
    return pixels, rng.integers(0, CLASSES, rows)


def feed(node: dict[str, Any], policy: str) -> StepFeed:
    """A training feed over `data`."""
    pixels, labels = data(node)
    rows: Any = SimpleNamespace(index=np.arange(len(labels)), labels=labels)
    items = Images(torch.from_numpy(pixels), rows, node, policy=policy, flip=True, device=CPU)
    return StepFeed(items, Address(0, "fine_tune", "target"), batch=TRAINER.batch)


def training(node: dict[str, Any], net: Net, batches: Feed) -> Training:
    """Supervised training of `net`, with a head for `CLASSES` classes."""
    task = Classification([str(c) for c in range(CLASSES)])
    task.prepare(net)
    method = Supervised(Given(net=net, tasks={"target": task}))
    return Training(method, {"target": batches}, TRAINER, seed32=1, precision=node["precision"], device=CPU)
