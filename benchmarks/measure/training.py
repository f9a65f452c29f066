"""What benchmarks of training share: model nodes, and the trainer. The training itself is the engine's own."""

from typing import Any

import numpy as np
import torch

from transfer_cli.contracts import Loader
from transfer_cli.engine import timing
from transfer_cli.engine.loader import StepLoader
from transfer_cli.engine.settings import Trainer
from transfer_cli.engine.timing import CLASSES as CLASSES
from transfer_cli.engine.training_step import Training
from transfer_cli.models.net import Net

CPU = torch.device("cpu")
TRAINER = Trainer(steps=100_000, batch=128, lr=0.01)
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def model(family: str, size: int, *, channels: int = 3, precision: str = "bf16", **keys: Any) -> dict[str, Any]:
    """A model node for `size` x `size` pictures; bf16 goes with channels last."""
    numbers = IMAGENET if channels == 3 else {"mean": [0.5], "std": [0.5]}
    spec = {"channels": channels, "size": size, "crop": size, **numbers}
    return {"family": family, **keys, "input": spec, "precision": precision, "channels_last": precision == "bf16"}


def data(node: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Random uint8 pixels [N, C, H, W] and labels [N]."""
    return timing.pixels(node)


def loader(node: dict[str, Any], policy: str) -> StepLoader:
    """A training loader over `data`."""
    return timing.loader(node, policy, TRAINER.batch)


def training(node: dict[str, Any], net: Net, batches: Loader) -> Training:
    """Supervised training of `net`, with a head for `CLASSES` classes."""
    return timing.training(node, net, batches, TRAINER)
