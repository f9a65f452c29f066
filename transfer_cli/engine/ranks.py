"""The processes that train one run together (torch.distributed). Rank 0 claims the stage, validates, saves, writes and
prints; the other ranks compute their rows of every batch and wait for messages of rank 0. Methods need no code for it.

A dead rank is detected at the next collective: its connections close, and the other ranks exit. The backend gloo
transports messages and CPU tensors, nccl transports GPU tensors."""

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

PATIENCE = timedelta(days=365)  # no timeout: rank 0 may validate, save or wait for a claim for any time
FAILED = "failed"


class Lost(Exception):
    """Another process of this run has died."""


class Ranks:
    """This process has the number `rank` of `world`, from the environment that torch's launcher sets. One instance per
    process."""

    def __init__(self, device: torch.device) -> None:
        store, self.rank, self.world = next(rendezvous("env://", timeout=PATIENCE))
        self.device = device
        self._parent = os.getppid()
        self._notes = PrefixStore("notes", store)
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        group = PrefixStore("group", store)
        dist.init_process_group(backend, store=group, rank=self.rank, world_size=self.world, timeout=PATIENCE)

    # messages of rank 0
    def send(self, message: dict[str, Any]) -> None:
        """Called by rank 0: sends a message to all other ranks, which must `receive` it."""
        self.broadcast(json.dumps(message).encode())

    def receive(self) -> dict[str, Any]:
        """Called by the other ranks: the next message of rank 0. Raises Lost."""
        return dict(json.loads(self.broadcast(b"")))

    def broadcast(self, data: bytes) -> bytes:
        """Returns the `data` of rank 0 at every rank. Every rank must call it. Raises Lost."""
        size = torch.tensor([len(data)])
        self._together(lambda: dist.broadcast(size, 0))
        if not int(size):
            return b""
        body = torch.empty(int(size), dtype=torch.uint8)
        if self.rank == 0:
            body = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        self._together(lambda: dist.broadcast(body, 0))
        return body.numpy().tobytes()

    # collectives: all ranks call them at the same step
    def maximum(self, *numbers: int) -> list[int]:
        """The maximum of each number over all ranks, the same at every rank. Raises Lost."""
        maxima = torch.tensor(numbers)
        self._together(lambda: dist.all_reduce(maxima, dist.ReduceOp.MAX))
        return [int(number) for number in maxima]

    def orphaned(self) -> bool:
        """Whether the launcher has died: then no process stops the other ranks if one of them dies."""
        return os.getppid() != self._parent

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its sum over all ranks, with the same bits at every rank. Shapes must agree between
        ranks. Raises Lost."""
        for _, same in groupby(sorted(tensors, key=_kind), key=_kind):
            group = list(same)
            flat = torch.cat([x.reshape(-1) for x in group])
            self._together(lambda flat=flat: dist.all_reduce(flat))  # type: ignore[misc]
            parts = flat.split([x.numel() for x in group])
            torch._foreach_copy_(group, [part.view(x.shape) for part, x in zip(parts, group, strict=True)])

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its mean over all ranks. Raises Lost."""
        if tensors:
            self.sum(tensors)
            torch._foreach_div_(list(tensors), self.world)

    def _together(self, collective: Callable[[], Any]) -> None:
        try:
            collective()
        except RuntimeError as error:
            raise Lost(" ".join(str(error).split())) from error

    # errors
    def fail(self, error: BaseException, trace: str) -> None:
        """Called by any rank but 0 before it exits: stores the error for rank 0 to report."""
        code = error.code if isinstance(error, TransferError) else 1
        text = error.faults[0].line() if isinstance(error, TransferError) else f"{type(error).__name__}: {error}"
        self._notes.set(FAILED, json.dumps({"rank": self.rank, "code": code, "text": text, "trace": trace}))

    def cause(self, lost: Lost) -> TransferError:
        """Called by rank 0: the reason why another rank has died, as far as that rank reported it."""
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
    """Agrees on the exit code to stop with (0: continue) and on whether to save: all ranks get the same answer at the
    same step. A dead launcher counts as SIGHUP."""
    if ranks is None:
        return code, due
    code, save = ranks.maximum(code or (128 + signal.SIGHUP) * ranks.orphaned(), due)
    return code, bool(save)
