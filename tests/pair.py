"""Two processes that train together, as torch's launcher would start them: forked from a server that has torch loaded.
No test framework is imported here, for the server imports this file."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from victims import CONTEXT, PRELOADED, Victim

WORLD = 2
Ended = list[tuple[int, str]]


def places() -> list[dict[str, str]]:
    """The environment of each process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {
        "WORLD_SIZE": str(WORLD),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    return [{"RANK": str(rank), "LOCAL_RANK": str(rank), **common} for rank in range(WORLD)]


def run_pair(argv: list[str], here: Path, *how: dict[str, Any]) -> Ended:
    """One command line in two processes; `how`: what each of them meets (see Victim). How both ended."""
    outs = [here / f"out{rank}" for rank in range(WORLD)]
    for out in outs:
        out.unlink(missing_ok=True)
    meets = how or ({}, {})
    pair = [Victim(argv, out, **meet, **place) for out, meet, place in zip(outs, meets, places(), strict=True)]
    return [victim.join() for victim in pair]


def together(work: Callable[..., None], folder: Path) -> list[int]:
    """`work(ranks, folder)` in two processes; their exit codes."""
    CONTEXT.set_forkserver_preload(["pair", *PRELOADED])
    pair = [CONTEXT.Process(target=_live, args=(work, str(folder), place)) for place in places()]
    for process in pair:
        process.start()
    for process in pair:
        process.join()
    return [process.exitcode or 0 for process in pair]


def _live(work: Callable[..., None], folder: str, place: dict[str, str]) -> None:
    os.environ.update(place)
    torch.set_num_threads(1)
    from transfer_cli.engine.ranks import Ranks

    work(Ranks(torch.device("cpu")), Path(folder))
    os._exit(0)


def save(name: str, tensors: dict[str, torch.Tensor], folder: Path) -> None:
    (folder / name).write_bytes(pack_bytes(tensors))


def load(name: str, folder: Path) -> dict[str, torch.Tensor]:
    return unpack_bytes((folder / name).read_bytes())


# what both do
def setting(kind: str, ranks: Any = None, steps: int = 6) -> Any:
    """A toy training, in float64; the batch of 7 rows falls into 4 and 3."""
    from test_loop import BatchNormed, Logging, OneYield, TwoYields, loader

    from transfer_cli.engine.settings import Trainer
    from transfer_cli.engine.training_step import Training

    more: dict[str, Any] = {"clip": {"clip": 0.5}, "adamw": {"optimizer": "adamw", "lr": 0.01}}.get(kind, {})
    more |= {"accumulate": 2} if kind == "accumulate" else {}
    made = {"two_yields": TwoYields, "logging": Logging, "batchnorm": BatchNormed}.get(kind, OneYield)
    method = (made(dropout=0.5) if kind == "dropout" else made()).double()
    share = (ranks.rank, ranks.world) if ranks else (0, 1)
    loaders = {
        "target": loader(dtype=torch.float64, batch=7, policy="weak" if kind == "augment" else "none", share=share)
    }
    trainer = Trainer(**{"steps": steps, "batch": 7, "lr": 0.1, "warmup": 0.0, "schedule": "constant", **more})
    return Training(method, loaders, trainer, seed32=77, precision="fp32", device=torch.device("cpu"), ranks=ranks)


SHARDED = ("sharded", "sharded clip", "sharded batchnorm")


def net(kind: str) -> Any:
    """A small net of ours on pictures of 16 x 16; conv4 has BatchNorm."""
    from transfer_cli.contracts import MethodInputs
    from transfer_cli.methods.supervised import Supervised
    from transfer_cli.models import net as nets
    from transfer_cli.task_contracts import TaskContext
    from transfer_cli.tasks.classify import Classify

    spec = {"channels": 1, "size": 16, "crop": 16, "mean": [0.5], "std": [0.5]}
    family = {"family": "conv4", "filters": 6} if "batchnorm" in kind else {"family": "mlp"}
    torch.manual_seed(3)
    made = nets.build({**family, "input": spec, "precision": "fp32", "channels_last": False})
    task = Classify(TaskContext(("0", "1", "2")))
    task.prepare(made)
    return Supervised(MethodInputs(net=made, tasks={"target": task}))


class Pictures:
    noun, chunk, home = "pictures", 16, torch.device("cpu")
    domains = None
    targeted = False

    def __init__(self) -> None:
        torch.manual_seed(5)
        self.pixels, self.labels = torch.randn(40, 1, 16, 16), torch.arange(40) % 3

    def __len__(self) -> int:
        return 40

    def gather(self, index: Any, policy: str, rng: Any) -> Any:
        return {"pixels": self.pixels[index]}, self.labels[index]

    def arranged(self, order: Any, batch: int, rng: Any) -> Any:
        return order


def sharding(kind: str, ranks: Any = None, **trainer: Any) -> Any:
    """Supervised training whose parameters are split if there are several processes."""
    from transfer_cli.engine.loader import Address, StepLoader
    from transfer_cli.engine.settings import Trainer
    from transfer_cli.engine.training_step import Training

    share = (ranks.rank, ranks.world) if ranks else (0, 1)
    loaders = {"target": StepLoader(Pictures(), Address(0, "a", "b"), batch=7, views=("none",), share=share)}
    clip = {"clip": 0.5} if "clip" in kind else {}
    settings = Trainer(**{"steps": 6, "batch": 7, "lr": 0.01, "optimizer": "adamw", **clip, **trainer})
    common: dict[str, Any] = {"seed32": 77, "precision": "fp32", "device": torch.device("cpu"), "ranks": ranks}
    return Training(net(kind), loaders, settings, **common, sharded=True)


def shard_all(ranks: Any, folder: Path) -> None:
    """Trains on shares; saves in the middle and goes on from there; what does not go with shares is told."""
    from transfer_cli.errors import ConfigError

    for kind in SHARDED:
        made = sharding(kind, ranks)
        for t in range(3):
            made.step(t)
        half = made.state()
        ranks.broadcast(b"")
        data = pack_bytes(half) if ranks.rank == 0 else b""
        for t in range(3, 6):
            made.step(t)
        made.gather()
        end = made.state()
        again = sharding(kind, ranks)
        again.load_state(unpack_bytes(ranks.broadcast(data)))
        for t in range(3, 6):
            again.step(t)
        resumed = again.state()
        if ranks.rank == 0:
            save(kind, end, folder)
            save(f"{kind} resumed", resumed, folder)
            save(f"{kind} whole", made.whole.state_dict(), folder)
        split = [p for p in made.method.parameters() if p.to_local().numel() < p.numel()]
        assert len(split) == len(list(made.method.parameters()))
    told = []
    for trainer in ({"optimizer": "sgd"}, {"accumulate": 2}):
        try:
            sharding("sharded", ranks, **trainer)
        except ConfigError as error:
            told.append(str(error))
    (folder / f"told{ranks.rank}").write_text("\n".join(told))


def pack_bytes(tensors: dict[str, torch.Tensor]) -> bytes:
    from transfer_cli.models.tensors import pack

    return pack(tensors, {})


def unpack_bytes(data: bytes) -> dict[str, torch.Tensor]:
    from transfer_cli.models.tensors import unpack

    return unpack(data)[0]


KINDS = ("one_yield", "two_yields", "logging", "clip", "adamw", "accumulate", "batchnorm", "dropout", "augment")


def train_all(ranks: Any, folder: Path) -> None:
    """Every kind to its end; the state and the last logs of each rank."""
    for kind in KINDS:
        made = setting(kind, ranks)
        for t in range(made.trainer.steps):
            logs = made.step(t)
        save(f"{kind}-{ranks.rank}", {**made.state(), **{f"log.{name}": x for name, x in logs.items()}}, folder)
    save(f"noise-{ranks.rank}", noise(ranks), folder)
    words(ranks)


def noise(ranks: Any) -> dict[str, torch.Tensor]:
    """What each rank draws: within a step, in `after`, and for the augmentation of its rows."""
    made = setting("augment", ranks)
    found: dict[str, torch.Tensor] = {}
    step = made.method.step

    def drawing(batch: Any, at: Any) -> Any:
        found["step"], found["index"] = torch.rand(4), batch["target"].index
        yield from step(batch, at)

    made.method.step = drawing
    made.method.after = lambda batch, at, logs: found.update(after=torch.rand(4))
    made.follows = True
    made.step(0)
    items = made.loaders["target"].items
    rows = made.loaders["target"][0]
    found["augmentation"] = (rows.inputs["x"] - items.x[rows.index])[:3]
    return found


def words(ranks: Any) -> None:
    """Words, bytes and numbers arrive as they were given."""
    if ranks.rank == 0:
        ranks.send({"stage": "align", "step": 3})
    else:
        assert ranks.receive() == {"stage": "align", "step": 3}
    given = bytes(range(256))
    assert ranks.broadcast(given if ranks.rank == 0 else b"") == given
    assert ranks.broadcast(b"") == b""
    assert ranks.maximum(ranks.rank, 5 - ranks.rank) == [1, 5]
    mixed = [torch.ones(2, 3) * (ranks.rank + 1), torch.arange(3.0).double(), torch.ones(())]
    ranks.sum(mixed)
    assert [x.tolist() for x in mixed] == [[[3.0] * 3] * 2, [0.0, 2.0, 4.0], 2.0]


def one_is_lost(ranks: Any, folder: Path) -> None:
    """Rank 1 dies without a word; rank 0 must notice, not wait."""
    from transfer_cli.engine.ranks import Lost

    ranks.maximum(0)
    if ranks.rank == 1:
        os._exit(0)
    try:
        ranks.sum([nn.Parameter(torch.ones(3)).detach()])
    except Lost as lost:
        (folder / "lost").write_text(str(ranks.cause(lost)))


def one_fails(ranks: Any, folder: Path) -> None:
    """Rank 1 says what went wrong; rank 0 tells it."""
    from transfer_cli.engine.ranks import Lost
    from transfer_cli.errors import DataError, Fault

    if ranks.rank == 1:
        ranks.fail(DataError(Fault("digits", "row 17 is torn")), "the traceback")
        os._exit(0)
    try:
        ranks.maximum(0)
    except Lost as lost:
        cause = ranks.cause(lost)
        (folder / "failed").write_text(f"{cause.code} {cause} {lost.__cause__}")
