"""A tiny net, two domains of made-up pictures that differ in brightness, and training as the engine does it."""

import json
from dataclasses import replace

import torch

from transfer_cli.cli.main import main
from transfer_cli.contracts import Batch, MethodInputs, Progress
from transfer_cli.engine.param_groups import param_groups, set_modes
from transfer_cli.engine.settings import Trainer
from transfer_cli.models.net import build
from transfer_cli.task_contracts import TaskContext
from transfer_cli.tasks.classify import Classify

CLASSES = ("a", "b", "c")
INPUT = {"channels": 1, "size": 16, "crop": 16, "mean": [0.5], "std": [0.5]}
START, HALF = Progress(0, 10), Progress(5, 10)
EVERY = torch.arange(30)


def net(family="conv4", classes=CLASSES):
    torch.manual_seed(0)
    small = {"filters": 8} if family == "conv4" else {}
    made = build({"family": family, **small, "input": INPUT, "precision": "fp32", "channels_last": False})
    made.set_head("classify", classes)
    return made


def given(family="conv4", classes=CLASSES):
    task = Classify(TaskContext(classes))
    return MethodInputs(net(family, classes), {"target": task, "source": task}, rows={"target": 30, "source": 30})


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def double(*shape, seed=0):
    return noise(*shape, seed=seed).double()


def batch(seed=0, shift=0.0, views=1):
    """30 pictures of three classes, which differ in brightness; each view has noise of its own."""
    labels = EVERY % 3
    clean = noise(30, 1, 16, 16, seed=seed) + labels.view(-1, 1, 1, 1) * 0.7 + shift
    seen = tuple({"pixels": clean + 0.3 * i * noise(30, 1, 16, 16, seed=seed + 7 + i)} for i in range(views))
    return Batch(seen[0], labels, EVERY, seen)


def both(views=1, shift=1.0):
    return {"source": batch(), "target": replace(batch(1, shift, views), labels=None)}


def one(method, rows, at=HALF):
    (loss,) = method.step(rows, at)
    return loss


def trained(method, rows, steps=30, rate=0.05):
    """As the engine does it: modes, one optimiser over all param_groups, `after`."""
    cast = param_groups(method, Trainer())
    set_modes(method, cast)
    optimizer = torch.optim.SGD([p for group in cast.values() for p in group.parameters], rate, 0.9)
    for t in range(steps):
        loss = one(method, rows, Progress(t, steps))
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
        method.after(rows, Progress(t, steps), {})
    return loss


class Whole:
    """A loader that is one batch, handed out in two halves."""

    def __init__(self, rows):
        self.rows = rows

    def whole(self, batch=None):
        for part in (slice(0, 15), slice(15, None)):
            yield Batch({"pixels": self.rows.inputs["pixels"][part]}, None, self.rows.index[part])


def run(folder, *words):
    """results.json and the specs of the stages of a run of three steps a stage."""
    told = ["run", *words, "data=digits", "trainer=tiny", "runtime=cpu", "--runs", str(folder), "-q"]
    assert main(told) == 0
    (made,) = [path for path in folder.glob("*/*") if not path.parent.name.startswith(".")]
    stages = json.loads((made / "plan.json").read_text())
    return json.loads((made / "results.json").read_text()), {stage["stage"]: stage["spec"] for stage in stages}
