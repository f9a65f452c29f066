"""This machine: each task in a child of a fork server that has torch loaded, so that a task that dies harms no other,
and a start costs 0.1 s instead of an import of torch."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfer_cli.launch.launcher import Task
from transfer_cli.signals import RELAY

PRELOADED = [
    "transfer_cli.engine.stage",
    "transfer_cli.config.compose",
    "transfer_cli.runner.child",
    "transfer_cli.methods.supervised",
    "transfer_cli.report.figures",
    "matplotlib.backends.backend_agg",
    "hydra.core.override_parser.overrides_parser",
    "torch._dynamo",  # takes 1.7 s; the first optimiser imports it
]


class Local:
    """Launcher for this machine."""

    here = True

    def __init__(self, runtime: Mapping[str, Any], home: Path) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)

    def start(self, task: Task) -> "LocalJob":
        process = self._context.Process(target=_enter, args=(task,))
        process.start()
        return LocalJob(process)


class LocalJob:
    """A task in a child process."""

    def __init__(self, process: multiprocessing.process.BaseProcess) -> None:
        self._process = process

    @property
    def sentinel(self) -> int | None:
        return self._process.sentinel

    def code(self) -> int | None:
        code = self._process.exitcode
        return 128 - code if code is not None and code < 0 else code

    def stop(self) -> None:
        if self._process.pid and self._process.is_alive():
            os.kill(self._process.pid, RELAY)  # Ctrl-C reaches the task as well, and must not count twice


def _enter(task: Task) -> None:
    """Runs in the child, which is stopped when its parent process ends."""
    threading.Thread(target=_follow, daemon=True).start()
    sys.exit(task())


def _follow() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
