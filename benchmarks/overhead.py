"""What the engine adds to a training step: its loop against one written by hand with the same ingredients (gather and
normalise, autocast and layout, schedule, finite check, gradient norm, fused SGD). Goal: 1.03 for a ResNet-18 at 32
pixels, 0.2 ms a step for a linear net."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from measure.turns import Pair, report, turns
from torch import Tensor, nn
from torchvision.models import resnet18

from transfer_cli.contracts import Given
from transfer_cli.data.images import Images
from transfer_cli.data.tasks import Classification
from transfer_cli.engine.device import autocast
from transfer_cli.engine.feed import Address, StepFeed
from transfer_cli.engine.loop import Training
from transfer_cli.engine.settings import Trainer
from transfer_cli.methods.supervised import Supervised
from transfer_cli.models import net as nets
from transfer_cli.models.backbone import Backbone, InputSpec

CPU = torch.device("cpu")
CLASSES = 10
HIDDEN = 64
TRAINER = Trainer(steps=100_000, batch=128, lr=0.01)
RESNET = {
    "family": "torchvision",
    "name": "resnet18",
    "input": {"channels": 3, "size": 32, "crop": 32, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    "precision": "bf16",
    "channels_last": True,
}
LINEAR = {
    "family": "linear",
    "input": {"channels": 1, "size": 28, "crop": 28, "mean": [0.5], "std": [0.5]},
    "precision": "fp32",
    "channels_last": False,
}


class Linear(Backbone):
    """One linear layer; with the head, a net as cheap as a net can be."""

    def __init__(self, input: InputSpec) -> None:
        super().__init__(HIDDEN)
        self.layer = nn.Linear(input.channels * input.crop**2, HIDDEN)

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.layer(pixels.flatten(1))
        return features

    def blocks(self) -> list[nn.Module]:
        return [self.layer]


def data(model: dict[str, Any], rows: int = 2048) -> tuple[np.ndarray, np.ndarray]:
    """Random uint8 pixels [N, C, H, W] and labels [N]."""
    rng, spec = np.random.default_rng(0), model["input"]
    pixels = rng.integers(0, 256, (rows, spec["channels"], spec["crop"], spec["crop"]), dtype=np.uint8)
    return pixels, rng.integers(0, CLASSES, rows)


def engine(model: dict[str, Any], net: nets.Net) -> Callable[[], float]:
    """A step of the engine; gives its loss."""
    task = Classification([str(c) for c in range(CLASSES)])
    task.prepare(net)
    pixels, labels = data(model)
    rows: Any = SimpleNamespace(index=np.arange(len(labels)), labels=labels)
    items = Images(pixels, rows, model, policy="none", flip=False, device=CPU)
    feed = StepFeed(items, Address(0, "fine_tune", "target"), batch=TRAINER.batch)
    method = Supervised(Given(net=net, tasks={"target": task}))
    training = Training(
        method, {"target": feed}, TRAINER, seed32=1, precision=model["precision"], device=CPU
    )
    steps = iter(range(TRAINER.steps))
    return lambda: float(training.step(next(steps))["loss"])


def by_hand(model: dict[str, Any], net: nn.Module) -> Callable[[], float]:
    """The same step as one would write it without an engine."""
    spec, layout = model["input"], torch.channels_last if model["channels_last"] else torch.contiguous_format
    pixels, labels = (torch.from_numpy(part) for part in data(model))
    mean, std = (torch.tensor(spec[name]).view(1, -1, 1, 1) * 255 for name in ("mean", "std"))
    scale, size, warm = 1 / std, TRAINER.batch, round(TRAINER.warmup * TRAINER.steps)
    parameters = list(net.to(memory_format=layout).train().parameters())
    optimizer = torch.optim.SGD(
        parameters, TRAINER.lr, TRAINER.momentum, weight_decay=TRAINER.weight_decay, nesterov=True, fused=True
    )
    rng, steps = np.random.default_rng(0), iter(range(TRAINER.steps))
    order = torch.from_numpy(rng.permutation(len(labels)))

    def step() -> float:
        nonlocal order
        t = next(steps)
        at = t * size % len(labels)
        if t and at == 0:
            order = torch.from_numpy(rng.permutation(len(labels)))
        index = order[at : at + size]
        x = pixels.index_select(0, index).to(torch.float32, memory_format=layout).sub_(mean).mul_(scale)
        rate = TRAINER.lr * (t + 1) / warm if t < warm else TRAINER.lr * 0.5 * (1 + math.cos(math.pi * t / TRAINER.steps))
        optimizer.param_groups[0]["lr"] = rate
        with autocast(CPU, model["precision"]):
            out = net(x)
        loss = nn.functional.cross_entropy(out.float(), labels.index_select(0, index))
        loss.backward()
        value = loss.detach()
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm([p.grad for p in parameters])))
        if not (math.isfinite(float(value)) and math.isfinite(float(norm))):
            raise FloatingPointError(t)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return float(value)

    return step


def linear() -> tuple[nets.Net, nn.Module]:
    spec = nets.input_spec(LINEAR)
    layers = nn.Linear(spec.channels * spec.crop**2, HIDDEN), nn.Linear(HIDDEN, CLASSES)
    return nets.Net(Linear(spec), LINEAR), nn.Sequential(nn.Flatten(), *layers)


def race(model: dict[str, Any], nets_: tuple[nets.Net, nn.Module], rounds: int, warm: int) -> dict[str, list[float]]:
    mine, theirs = nets_
    return turns({"engine": engine(model, mine), "by hand": by_hand(model, theirs)}, rounds, warm)


def main() -> None:
    torch.manual_seed(0)
    taken = {
        "linear net, 128 x 28 x 28": race(LINEAR, linear(), 3000, 200),
        "ResNet-18, 128 x 3 x 32 x 32, bf16": race(RESNET, (nets.build(RESNET), resnet18(num_classes=CLASSES)), 25, 3),
    }
    goals = ([Pair("engine", "by hand", most_ms=0.2)], [Pair("engine", "by hand", most=1.03)])
    report("overhead", taken, dict(zip(taken, goals, strict=True)))


if __name__ == "__main__":
    main()
