"""What the engine adds to a training step: its loop against one written by hand with the same ingredients (gather and
normalise, autocast and layout, schedule, finite check, gradient norm, fused SGD). Goal: 1.03 for a ResNet-18 at 32
pixels, 0.2 ms a step for a linear net."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from measure.training import CLASSES, CPU, TRAINER, data, loader, model, training
from measure.turns import Pair, report, turns
from torch import Tensor, nn
from torchvision.models import resnet18

from transfer_cli.engine.device import autocast
from transfer_cli.kinds.pictures import InputSpec
from transfer_cli.models import net as nets
from transfer_cli.models.backbone import Backbone

HIDDEN = 64
LINEAR = model("linear", 28, channels=1, precision="fp32")
RESNET = model("torchvision", 32, name="resnet18")
Step = Callable[[], float]


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


def main() -> None:
    torch.manual_seed(0)
    linear = nets.Net(Linear(nets.input_spec(LINEAR)), LINEAR)
    by_hand = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, HIDDEN), nn.Linear(HIDDEN, CLASSES))
    taken = {
        "linear net, 128 x 28 x 28": race(LINEAR, linear, by_hand, 3000, 200),
        "ResNet-18, 128 x 3 x 32 x 32, bf16": race(RESNET, nets.build(RESNET), resnet18(num_classes=CLASSES), 40, 4),
    }
    goals = ([Pair("engine", "by hand", most_ms=0.2)], [Pair("engine", "by hand", most=1.03)])
    report("overhead", taken, dict(zip(taken, goals, strict=True)))


def race(node: dict[str, Any], mine: nets.Net, theirs: nn.Module, rounds: int, warm: int) -> dict[str, list[float]]:
    """Both from the same weights; raises AssertionError if they then do not do the same work."""
    made, losses = training(node, mine, loader(node, "none")), {"engine": 0.0, "by hand": 0.0}
    with torch.no_grad():
        for a, b in zip(theirs.parameters(), mine.parameters(), strict=True):
            a.copy_(b)
    steps = {"engine": engine(made), "by hand": loop(node, theirs, made.loaders["target"]._order(0))}

    def timed(name: str) -> Callable[[], None]:
        return lambda: losses.update({name: steps[name]()})

    taken = turns({name: timed(name) for name in steps}, rounds, warm)
    assert math.isclose(*losses.values(), rel_tol=0.2), losses
    return taken


def engine(made: Any) -> Step:
    steps = itertools.count()
    return lambda: float(made.step(next(steps))["loss"])


def loop(node: dict[str, Any], net: nn.Module, order: Tensor) -> Step:
    """The same step as one would write it without an engine; `order` is that of the first epoch."""
    spec, layout = node["input"], torch.channels_last if node["channels_last"] else torch.contiguous_format
    pixels, labels = (torch.from_numpy(part) for part in data(node))
    mean, std = (torch.tensor(spec[name]).view(1, -1, 1, 1) * 255 for name in ("mean", "std"))
    scale, size, rng = 1 / std, TRAINER.batch, np.random.default_rng(0)
    parameters = list(net.to(memory_format=layout).train().parameters())
    optimizer = torch.optim.SGD(
        parameters, TRAINER.lr, TRAINER.momentum, weight_decay=TRAINER.weight_decay, nesterov=True, fused=True
    )
    steps = itertools.count()

    def step() -> float:
        nonlocal order
        t = next(steps)
        at = t * size % len(labels)
        if t and at == 0:
            order = torch.from_numpy(rng.permutation(len(labels)))
        index = order[at : at + size]
        x = pixels.index_select(0, index).to(torch.float32, memory_format=layout).sub_(mean).mul_(scale)
        optimizer.param_groups[0]["lr"] = rate(t)
        with autocast(CPU, node["precision"]):
            out = net(x)
        loss = nn.functional.cross_entropy(out.float(), labels.index_select(0, index))
        loss.backward()
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm([p.grad for p in parameters])))
        value = float(loss.detach())
        if not (math.isfinite(value) and math.isfinite(float(norm))):
            raise FloatingPointError(t)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return value

    return step


def rate(t: int) -> float:
    """Linear warm-up, then a cosine."""
    warm = round(TRAINER.warmup * TRAINER.steps)
    if t < warm:
        return TRAINER.lr * (t + 1) / warm
    return TRAINER.lr * 0.5 * (1 + math.cos(math.pi * (t - warm) / (TRAINER.steps - warm)))


if __name__ == "__main__":
    main()
