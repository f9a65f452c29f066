"""Launchers decide where the runs of a sweep are computed: `runtime.launcher` is the name of a file of this folder. A
launcher starts each task in a separate process, local or remote. The task itself does not depend on the launcher."""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any, Protocol

from transfer_cli.errors import ConfigError, Fault

Task = Callable[[], int]  # one run; returns its exit code. It is pickled for its process: a partial of a function
DIED = 137  # the code of a task that ended without one: killed, most likely for memory
NEEDS = {"slurm": "submitit", "ray": "ray"}  # launcher -> the package of its extra


class Job(Protocol):
    """A started task."""

    @property
    def sentinel(self) -> int | None:
        """A file descriptor that becomes readable when the task ends, or None."""

    def code(self) -> int | None:
        """The exit code, 128 + n after signal n; None while the task runs."""

    def stop(self) -> None:
        """Requests that the task saves its state and exits."""


class Launcher(Protocol):
    """Starts tasks. `here`: tasks run on this machine and share its cores."""

    here: bool

    def start(self, task: Task) -> Job: ...


def check(runtime: Mapping[str, Any]) -> None:
    """Raises ConfigError if the extra of the launcher is not installed, or sbatch is missing. Imports nothing."""
    name = runtime["launcher"]
    if name in NEEDS and find_spec(NEEDS[name]) is None:
        raise ConfigError(Fault("runtime", f"needs an extra: pip install 'transfer-cli[{name}]'", name))
    if name == "slurm" and runtime["cluster"] == "slurm" and which("sbatch") is None:
        raise ConfigError(
            Fault(
                "runtime",
                "sbatch is not on this machine",
                name,
                do="run it where jobs are submitted; to try it: runtime.cluster=local",
            )
        )


def launcher(runtime: Mapping[str, Any], home: Path) -> Launcher:
    """The launcher chosen by `runtime.launcher`; `home` is a folder for its files."""
    name = runtime["launcher"]
    launcher: Launcher = getattr(import_module(f"transfer_cli.launch.{name}"), name.title())(runtime, home)
    return launcher
