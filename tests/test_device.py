"""What a GPU needs of a step, tried without one: nothing waits for the device. Tensors on `meta` have no content, so
whatever would read one on the host (a number, a copy back) raises; copies to it are looked at one by one."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from transfer_cli.contracts import Batch, MethodInputs
from transfer_cli.data.placement import placed, sent
from transfer_cli.engine.loader import Address, StepLoader
from transfer_cli.engine.settings import Trainer
from transfer_cli.engine.training_step import Training
from transfer_cli.kinds.pictures import PictureRows
from transfer_cli.kinds.texts import TextRows, flat
from transfer_cli.kinds.vectors import VectorRows
from transfer_cli.methods.supervised import Supervised
from transfer_cli.models import net as nets
from transfer_cli.task_contracts import TaskContext
from transfer_cli.tasks.classify import Classify
from transfer_cli.tasks.language import Blocks, Language

CPU, GPU = torch.device("cpu"), torch.device("meta")
ROWS: Any = SimpleNamespace(index=np.arange(40), labels=np.arange(40) % 4)
PICTURE = {"channels": 3, "size": 16, "crop": 16, "mean": [0.5] * 3, "std": [0.5] * 3}
MODEL = {"family": "conv4", "filters": 4, "input": PICTURE, "precision": "fp32", "channels_last": False}


class Watched(TorchDispatchMode):
    """Copies from the host to the device that wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        copy, fill = func is torch.ops.aten._to_copy.default, func is torch.ops.aten.copy_.default
        there = copy and torch.device(kwargs.get("device") or CPU) == GPU and args[0].device == CPU
        if (there and not kwargs.get("non_blocking")) or (fill and (args[0].device, args[1].device) == (GPU, CPU)):
            self.waiting.append(f"{func} of {tuple(args[-1].shape)}")
        return func(*args, **kwargs)


def images(policy: str, home: torch.device) -> PictureRows:
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), dtype=np.uint8)).to(home)
    return PictureRows(pixels, ROWS, MODEL, policy=policy, flip=True, device=GPU)


def loader(items: Any) -> StepLoader:
    return StepLoader(items, Address(0, "fine_tune", "target"), batch=7)


def training(items: PictureRows, **trainer: Any) -> Training:
    net = nets.build(MODEL)
    task = Classify(TaskContext(tuple([str(c) for c in range(4)])))
    task.prepare(net)
    method = Supervised(MethodInputs(net=net, tasks={"target": task}), mixup=0.2, ema=0.9).to(GPU)
    settings = Trainer(**{"steps": 12, "batch": 7, "lr": 0.1, **trainer})
    made = Training(method, {"target": loader(items)}, settings, seed32=1, precision="fp32", device=GPU)
    made.updates.runs_ahead = True
    for group in made.groups.values():  # the fused kernels know no `meta`; that they read found_inf: test_loop.py
        group.optimizer.step = lambda: None  # type: ignore[method-assign,misc,assignment]
    return made


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of what was pinned; pinning itself needs a GPU's driver."""
    found: list[tuple[int, ...]] = []

    def pin(tensor: torch.Tensor) -> torch.Tensor:
        found.append(tuple(tensor.shape))
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    return found


@pytest.mark.parametrize("trainer", [{}, {"optimizer": "adamw", "clip": 1.0}, {"accumulate": 2}])
@pytest.mark.parametrize(("policy", "home"), [("strong", GPU), ("weak", CPU)])
def test_no_step_waits_for_the_device(
    policy: str, home: torch.device, trainer: dict[str, Any], pinned: list[tuple[int, ...]]
) -> None:
    made = training(images(policy, home), **trainer)
    with Watched() as watched:
        for t in range(8):  # an epoch ends at step 5.7
            logs = made.step(t)
    assert watched.waiting == []
    assert logs["loss"].device == GPU
    assert ((7, 3 * 16 * 16) in pinned) == (home == CPU)  # pixels that lie on the device are not sent


@pytest.mark.parametrize("policy", ["none", "weak"])
@pytest.mark.parametrize("kind", ["texts", "blocks", "vectors", "vectors of the host"])
def test_no_batch_waits_for_the_device(kind: str, policy: str, pinned: list[tuple[int, ...]]) -> None:
    tokens = flat([[1 + i % 7] * (1 + i % 9) for i in range(40)])
    matrix = torch.randn(40, 5)
    items: Any = {
        "texts": lambda: TextRows(tokens, ROWS, length=8, policy=policy, device=GPU),
        "blocks": lambda: Blocks(TextRows(tokens, ROWS, length=8, policy=policy, device=GPU), ROWS),
        "vectors": lambda: VectorRows(matrix.to(GPU), ROWS, policy=policy, device=GPU),
        "vectors of the host": lambda: VectorRows(matrix, ROWS, policy=policy, device=GPU),
    }[kind]()
    batches = loader(items)
    with Watched() as watched:
        made = [batches[t] for t in range(8)] + list(batches.whole())
    assert watched.waiting == []
    for batch in made:
        assert {x.device for x in (*batch.inputs.values(), batch.target(), batch.index)} == {GPU}


def test_the_watch_notices_what_waits(pinned: list[tuple[int, ...]]) -> None:
    """The control of the tests above."""
    with Watched() as watched:
        torch.ones(3).to(GPU)
        torch.zeros(3, device=GPU).copy_(torch.ones(3))
        sent(torch.ones(3), GPU)
    assert len(watched.waiting) == 2
    assert pinned == [(3,)]
    with pytest.raises(RuntimeError, match="meta"):
        float(torch.ones((), device=GPU))
    with pytest.raises(NotImplementedError, match="meta"):
        torch.ones(3, device=GPU).cpu()


def test_tokens_are_counted_on_the_device() -> None:
    task = Language(TaskContext((), tokenizer=SimpleNamespace(size=7, chars=np.ones(7, np.int64))))
    labels = torch.tensor([[1, 2, -100], [3, -100, -100]])
    assert float(task.weight(Batch({}, labels, torch.arange(2)))) == 3.0
    assert torch.as_tensor(task.weight(Batch({}, labels.to(GPU), torch.arange(2)))).device == GPU


def test_a_tensor_is_not_moved_where_it_lies_already() -> None:
    here = torch.arange(3)
    assert sent(here, CPU) is here
    assert placed(here.numpy(), CPU).data_ptr() == here.data_ptr()
