"""Processes of one run, started on this machine through torch's elastic launcher, as torchrun does."""

import logging
import sys
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

SHUTDOWN_S = 600  # after a signal: what a step, a validation and a save may take; a second signal ends all at once


class Ended(NamedTuple):
    """How the processes ended: `signum` if the launcher was told to stop, `codes` (rank, exit code) of those that did
    not end with 0, the first to end first. Those after it may have been ended by the launcher."""

    signum: int = 0
    codes: tuple[tuple[int, int], ...] = ()


def places(device: str) -> int:
    """How many processes `auto` means: one a GPU, without GPU 2."""
    return (0 if device == "cpu" else torch.cuda.device_count()) or 2


def start(count: int, argv: Sequence[str], signals: Sequence[str]) -> Ended:
    """Starts `python -m argv` `count` times, each with its rank in the environment, and waits. `signals` are passed on
    to all; if one process fails, the others are told to end."""
    logging.disable()  # the launcher tells signals and exit codes in words of its own
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id="transfer",
        rdzv_backend="c10d",
        rdzv_endpoint="127.0.0.1:0",
        local_addr="127.0.0.1",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(),
        signals_to_handle=",".join(signals),
        shutdown_timeout=SHUTDOWN_S,
    )
    try:
        elastic_launch(config, sys.executable)("-P", "-m", *argv)
    except ChildFailedError as error:
        by_time = sorted(error.failures.items(), key=lambda item: item[1].timestamp)
        return Ended(codes=tuple((rank, failure.exitcode) for rank, failure in by_time))
    except SignalException as error:
        return Ended(int(error.sigval))
    return Ended()
