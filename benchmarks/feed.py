"""Batches out of memory: the loader against torchvision's transforms picture by picture, and its share of a training
step. The share is all that computing batches ahead in a thread could save; what it does save is measured beside it."""

import itertools
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from measure.training import IMAGENET, TRAINER, data, loader, model, training
from measure.turns import Pair, report, turns
from torchvision.transforms import v2

from transfer_cli.contracts import Batch
from transfer_cli.models import net as nets

MODELS = {"LeNet, 28": model("lenet", 28, channels=1), "ResNet-20, 32": model("cifar_resnet", 32, name="resnet20")}


class Ahead:
    """A loader whose next batch is made in another thread while the net learns from this one."""

    def __init__(self, batches: Any) -> None:
        self.batches, self.batch = batches, batches.batch
        self.pool = ThreadPoolExecutor(1, initializer=lambda: torch.set_num_threads(1))
        self.next: Future[Batch] = self.pool.submit(batches.__getitem__, 0)

    def __getitem__(self, t: int) -> Batch:
        batch = self.next.result()
        self.next = self.pool.submit(self.batches.__getitem__, t + 1)
        return batch


def main() -> None:
    torch.manual_seed(0)
    taken = {
        f"weak augmentation, 128 x 3 x {size} x {size}": race(size, rounds) for size, rounds in ((32, 60), (224, 6))
    }
    pairs = {group: [Pair("feed", "torchvision one by one")] for group in taken}
    for name, node in MODELS.items():
        for policy in ("weak", "strong"):
            group = f"{name}, {policy} augmentation, batch 128"
            taken[group] = ahead(node, policy)
            pairs[group] = [Pair("feed", "step"), Pair("step, batch made ahead", "step")]
    report("feed", taken, pairs)


def race(size: int, rounds: int) -> dict[str, list[float]]:
    node = model("torchvision", size, precision="fp32")
    return turns({"feed": batches(loader(node, "weak")), "torchvision one by one": one_by_one(node)}, rounds, warm=2)


def batches(source: Any) -> Callable[[], object]:
    steps = itertools.count()
    return lambda: source[next(steps)]


def one_by_one(node: dict[str, Any]) -> Callable[[], object]:
    """What a Dataset and a collate function do, without the cost of worker processes."""
    pixels, size = torch.from_numpy(data(node)[0]), node["input"]["crop"]
    crop = v2.RandomCrop(size, padding=size // 8, padding_mode="reflect")
    change = v2.Compose(
        [crop, v2.RandomHorizontalFlip(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(**IMAGENET)]
    )
    return lambda: torch.stack([change(pixels[i]) for i in torch.randperm(len(pixels))[: TRAINER.batch]])


def ahead(node: dict[str, Any], policy: str) -> dict[str, list[float]]:
    """A step with its batch made in turn, one with it made ahead, and the making alone."""
    source = loader(node, policy)
    made = {"step": training(node, nets.build(node), source)}
    made["step, batch made ahead"] = training(node, nets.build(node), Ahead(loader(node, policy)))
    steps = {name: stepping(each) for name, each in made.items()}
    return turns({**steps, "feed": batches(source)}, rounds=15, warm=2)


def stepping(made: Any) -> Callable[[], object]:
    steps = itertools.count()
    return lambda: made.step(next(steps))


if __name__ == "__main__":
    main()
