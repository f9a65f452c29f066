"""Pictures: a LeNet trained by the engine from memory against the usual loop, PIL pictures through a DataLoader with 2
workers and torchvision's transforms (goal: 3 times as fast), and a linear probe whose features are already kept."""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from measure.training import CLASSES, TRAINER, loader, model, training
from measure.turns import Pair, report, turns
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from transfer_cli.contracts import MethodInputs
from transfer_cli.engine.feature_cache import FeatureCache
from transfer_cli.engine.timing import pixels
from transfer_cli.methods.linear_probe import LinearProbe
from transfer_cli.models import net as nets
from transfer_cli.plan.precision import resolved
from transfer_cli.task_contracts import TaskContext
from transfer_cli.tasks.classify import Classify

LENET = model("lenet", 28, channels=1, precision=resolved("auto", "cpu")) | {
    "channels_last": True
}  # as its YAML has it
RESNET20 = model("cifar_resnet", 32, name="resnet20", precision="fp32")
Step = Callable[[], object]


def main() -> None:
    taken = {"LeNet, 128 x 28 x 28, crops": race(), "linear probe, ResNet-20, 1,024 pictures": probe()}
    pairs = {
        "LeNet, 128 x 28 x 28, crops": [
            Pair("feed", "PIL, DataLoader", most=1 / 3),
            Pair("engine", "plain loop", most=1 / 3),
        ],
        "linear probe, ResNet-20, 1,024 pictures": [Pair("features kept", "features computed")],
    }
    report("pictures", taken, pairs)


def race() -> dict[str, list[float]]:
    source, pil = loader(LENET, "weak"), endless()
    steps, net = itertools.count(), nets.build(LENET)
    made = training(LENET, net, loader(LENET, "weak"))
    work: dict[str, Step] = {
        "engine": lambda: made.step(next(steps)),
        "plain loop": by_hand(),
        "feed": lambda: source[next(steps)],
        "PIL, DataLoader": lambda: next(pil),
    }
    # workers work ahead: only many batches in a row tell what one costs
    return turns({name: many(step) for name, step in work.items()}, rounds=6, warm=1)


def many(step: Step, times: int = 40) -> Step:
    return lambda: [step() for _ in range(times)]


class Pictures(Dataset[tuple[Tensor, int]]):
    """One PIL picture at a time, as torchvision's own data sets hand them out."""

    def __init__(self) -> None:
        made, labels = pixels(LENET, 60_000)
        self.pixels, self.labels = made[:, 0], labels
        crop, normal = v2.RandomCrop(28, padding=3), v2.Normalize([0.5], [0.5])
        self.change = v2.Compose([crop, v2.ToImage(), v2.ToDtype(torch.float32, scale=True), normal])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.change(Image.fromarray(self.pixels[row])), int(self.labels[row])


def endless() -> Iterator[tuple[Tensor, Tensor]]:
    loader = DataLoader(Pictures(), TRAINER.batch, shuffle=True, num_workers=2, persistent_workers=True, drop_last=True)
    while True:
        yield from loader


def by_hand() -> Step:
    net = nets.build(LENET)
    net.set_head("classify", tuple(str(label) for label in range(CLASSES)))
    optimizer = torch.optim.SGD(net.train().parameters(), TRAINER.lr, TRAINER.momentum, nesterov=True)
    batches = endless()

    def step() -> float:
        pixels, labels = next(batches)
        loss = nn.functional.cross_entropy(net({"pixels": pixels}, "classify"), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def probe() -> dict[str, list[float]]:
    """A whole linear probe, as a second seed or another penalty would ask for it."""
    with tempfile.TemporaryDirectory() as folder:
        kept = probing(Path(folder))
        numbers = itertools.count()
        return turns(
            {"features kept": kept, "features computed": lambda: probing(Path(folder) / str(next(numbers)))()},
            rounds=5,
        )


def probing(folder: Path) -> Step:
    """A linear probe whose features are looked for in `folder`."""
    net, rows = nets.build(RESNET20), loader(RESNET20, "none")
    task = Classify(TaskContext(tuple([str(label) for label in range(CLASSES)])))
    task.prepare(net)
    rows._features = FeatureCache(folder, "fp32", {"versions": [], "features": ""})
    given: Any = MethodInputs(net=net, tasks={"target": task})
    return lambda: LinearProbe(given, l2=1.0).finish({"target": rows})


if __name__ == "__main__":
    main()
