"""Starts the processes of one run on this machine, with torch's elastic launcher."""

import logging
import sys
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

# after a signal, the processes may finish a step, a validation and a save; a second signal ends them immediately
SHUTDOWN_S = 600


class Ended(NamedTuple):
    """How the processes ended. `signum`: the signal that stopped the launcher, or 0. `codes`: (rank, exit code) of the
    processes that did not exit with 0, ordered by time; the launcher may have ended all but the first."""

    signum: int = 0
    codes: tuple[tuple[int, int], ...] = ()


def places(device: str) -> int:
    """The number of processes that `auto` means: one per GPU, or 2 without a GPU."""
    return (0 if device == "cpu" else torch.cuda.device_count()) or 2


def start(count: int, argv: Sequence[str], signals: Sequence[str]) -> Ended:
    """Starts `python -m argv` `count` times, each with its rank in the environment, and waits. The `signals` are
    forwarded to all processes. If one process fails, the others are asked to stop."""
    logging.disable()  # otherwise the launcher logs signals and exit codes a second time
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
