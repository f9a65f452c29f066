"""A DANN step, LeNet and a discriminator of 1024 and 1024 units on 128 + 128 pictures of 28 x 28: the engine from
memory against a plain loop of the same method on PIL pictures through two DataLoaders (goal: 3.5 times as fast), and
against the plain loop from memory."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from measure.training import CLASSES, CPU, TRAINER, loader, model
from measure.turns import Pair, report, turns
from pictures import endless, many
from torch import Tensor, nn

from transfer_cli.contracts import Batch, MethodInputs
from transfer_cli.engine.training_step import Training
from transfer_cli.losses.adversarial import gradient_reversal
from transfer_cli.methods.dann import Dann
from transfer_cli.models import net as nets
from transfer_cli.plan.precision import resolved
from transfer_cli.task_contracts import TaskContext
from transfer_cli.tasks.classify import Classify

LENET = model("lenet", 28, channels=1, precision=resolved("auto", "cpu")) | {"channels_last": True}
GROUP = "DANN, LeNet, 128 + 128 x 28 x 28"
Step = Callable[[], object]


def main() -> None:
    taken = turns(
        {
            "engine": many(by_engine(), 10),
            "plain loop, PIL, DataLoader": many(by_hand(zip(endless(), endless(), strict=True)), 10),
            "plain loop, in memory": many(by_hand(in_memory()), 10),
        },
        rounds=8,
        warm=1,
    )
    pairs = [Pair("engine", "plain loop, PIL, DataLoader", most=1 / 3.5), Pair("engine", "plain loop, in memory")]
    report("adversarial", {GROUP: taken}, {GROUP: pairs})


def task() -> Classify:
    return Classify(TaskContext(tuple([str(label) for label in range(CLASSES)])))


class Unlabelled:
    """A loader whose labels stay with it."""

    def __init__(self, labelled: Any) -> None:
        self.labelled, self.batch, self.rows = labelled, labelled.batch, labelled.rows

    def __getitem__(self, t: int) -> Batch:
        rows = self.labelled[t]
        return Batch(rows.inputs, None, rows.index, rows.views)


def by_engine() -> Step:
    net, labels = nets.build(LENET), task()
    labels.prepare(net)
    method = Dann(MethodInputs(net, {"source": labels, "target": labels}))
    loaders: Any = {"source": loader(LENET, "weak"), "target": Unlabelled(loader(LENET, "weak"))}
    made = Training(method, loaders, TRAINER, seed32=1, precision=str(LENET["precision"]), device=CPU)
    numbers = itertools.count()
    return lambda: made.step(next(numbers))


Pairs = Iterator[tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]]


def in_memory() -> Pairs:
    source, target = loader(LENET, "weak"), loader(LENET, "weak")
    for t in itertools.count():
        yield tuple((b.inputs["pixels"], b.target()) for b in (source[t], target[t]))  # type: ignore[misc]


def by_hand(batches: Pairs) -> Step:
    """The same net, discriminator, losses and optimiser, written out."""
    net = nets.build(LENET | {"channels_last": False})
    net.set_head("classify", tuple(str(label) for label in range(CLASSES)))
    hidden = [(net.width, 1024), (1024, 1024)]
    layers = [part for m, n in hidden for part in (nn.Linear(m, n), nn.BatchNorm1d(n), nn.ReLU())]
    discriminator = nn.Sequential(*layers, nn.Linear(1024, 1))
    parameters = [*net.train().parameters(), *discriminator.parameters()]
    optimizer = torch.optim.SGD(parameters, TRAINER.lr, TRAINER.momentum, weight_decay=5e-4, nesterov=True)
    truth = torch.cat([torch.ones(TRAINER.batch, 1), torch.zeros(TRAINER.batch, 1)])

    def step() -> float:
        (near, labels), (far, _) = next(batches)
        features = net.features({"pixels": torch.cat([near, far])})
        loss = nn.functional.cross_entropy(net.heads["classify"](features[: len(near)]), labels)
        judged = discriminator(gradient_reversal(features))
        loss = loss + nn.functional.binary_cross_entropy_with_logits(judged, truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


if __name__ == "__main__":
    main()
