"""The processes that train one run together (torch.distributed). Rank 0 claims, validates, saves, writes and talks;
the others take their rows of every batch and wait for its word. Methods know nothing of it.

Whoever is lost is noticed at the next word: its connections close, and the others leave. gloo carries words and CPU
tensors, nccl those of GPUs."""

import json
import os
import signal
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from transfer_cli.errors import Fault, ResourceError, TransferError

PATIENCE = timedelta(days=365)  # rank 0 may validate, save or wait for a claim as long as it likes
FAILED = "failed"


class Lost(Exception):
    """Another process of this run is gone."""


class Ranks:
    """This process is `rank` of `world`. Made once a process, in the order of ranks that torch's launcher gave."""

    def __init__(self, device: torch.device) -> None:
        store, self.rank, self.world = next(rendezvous("env://", timeout=PATIENCE))
        self.device = device
        self._parent = os.getppid()
        self._notes = PrefixStore("notes", store)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        group = PrefixStore("group", store)
        dist.init_process_group(backend, store=group, rank=self.rank, world_size=self.world, timeout=PATIENCE)

    # what rank 0 says
    def tell(self, word: dict[str, Any]) -> None:
        """Rank 0: a word to all others, who `hear` it."""
        self.share(json.dumps(word).encode())

    def hear(self) -> dict[str, Any]:
        """The others: the next word of rank 0. Raises Lost."""
        return dict(json.loads(self.share(b"")))

    def share(self, data: bytes) -> bytes:
        """The bytes that rank 0 gave, at every rank."""
        size = torch.tensor([len(data)])
        self._together(lambda: dist.broadcast(size, 0))
        if not int(size):
            return b""
        body = torch.empty(int(size), dtype=torch.uint8)
        if self.rank == 0:
            body = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        self._together(lambda: dist.broadcast(body, 0))
        return body.numpy().tobytes()

    # what all do at the same step
    def most(self, *numbers: int) -> list[int]:
        """The largest of each number over all ranks, the same at every rank. A launcher that died counts as SIGHUP."""
        mine = torch.tensor(numbers)
        self._together(lambda: dist.all_reduce(mine, dist.ReduceOp.MAX))
        return [int(number) for number in mine]

    def orphaned(self) -> bool:
        """Whether the launcher is gone, which would have to end the others if one of them fell."""
        return os.getppid() != self._parent

    def add(self, tensors: Sequence[Tensor]) -> None:
        """Each tensor becomes its sum over all ranks, the same bits everywhere. Shapes must agree between ranks."""
        for _, same in groupby(sorted(tensors, key=_kind), key=_kind):
            group = list(same)
            flat = torch.cat([x.reshape(-1) for x in group])
            self._together(lambda flat=flat: dist.all_reduce(flat))  # type: ignore[misc]
            parts = flat.split([x.numel() for x in group])
            torch._foreach_copy_(group, [part.view(x.shape) for part, x in zip(parts, group, strict=True)])

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Each tensor becomes its mean over all ranks."""
        if tensors:
            self.add(tensors)
            torch._foreach_div_(list(tensors), self.world)

    def _together(self, collective: Callable[[], Any]) -> None:
        try:
            collective()
        except RuntimeError as error:
            raise Lost(" ".join(str(error).split())) from error

    # how it ends
    def fail(self, error: BaseException, trace: str) -> None:
        """Any other rank, before it leaves: what rank 0 is to say."""
        code = error.code if isinstance(error, TransferError) else 1
        text = error.faults[0].line() if isinstance(error, TransferError) else f"{type(error).__name__}: {error}"
        self._notes.set(FAILED, json.dumps({"rank": self.rank, "code": code, "text": text, "trace": trace}))

    def cause(self, lost: Lost) -> TransferError:
        """Rank 0: why another rank is gone, as far as it could say."""
        if not self._notes.check([FAILED]):
            text = f"one of the {self.world} processes was killed, probably out of memory"
            return ResourceError(Fault("runtime.processes", text, do="the same command goes on from here"))
        note = json.loads(self._notes.get(FAILED))
        error = TransferError(Fault(f"process {note['rank'] + 1} of {self.world}", note["text"]))
        error.code, lost.__cause__ = note["code"], Lost(note["trace"])
        return error


def _kind(x: Tensor) -> str:
    return str(x.dtype)


def agreed(code: int, due: bool, ranks: Ranks | None) -> tuple[int, bool]:
    """The exit code to stop with, 0: go on; and whether to save. All ranks come to the same at the same step."""
    if ranks is None:
        return code, due
    code, save = ranks.most(code or (128 + signal.SIGHUP) * ranks.orphaned(), due)
    return code, bool(save)
