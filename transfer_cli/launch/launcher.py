"""Where the runs of a sweep are computed: `runtime.launcher` names one file of this folder. A launcher starts a task in
a process of its own, here or elsewhere; what the task does, where it writes and how it ends is the same everywhere."""

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
        """A descriptor that becomes readable at the end, where there is one."""

    def code(self) -> int | None:
        """Exit code, 128 + n if a signal ended it; None before the end."""

    def stop(self) -> None:
        """Asks it to save and leave."""


class Launcher(Protocol):
    """`here`: the cores of this machine are shared out among the tasks."""

    here: bool

    def start(self, task: Task) -> Job: ...


def check(runtime: Mapping[str, Any]) -> None:
    """Raises ConfigError if the extra of this launcher is not installed, or there is no cluster. Imports nothing."""
    name = runtime["launcher"]
    if name in NEEDS and find_spec(NEEDS[name]) is None:
        raise ConfigError(Fault("runtime", f"needs an extra: pip install 'transfer-cli[{name}]'", name))
    if name == "slurm" and runtime["cluster"] == "slurm" and which("sbatch") is None:
        raise ConfigError(
            Fault(
                "runtime",
                "no sbatch here",
                name,
                do="run it where jobs are submitted; to try it: runtime.cluster=local",
            )
        )


def launcher(runtime: Mapping[str, Any], home: Path) -> Launcher:
    """The launcher that the settings of `runtime` name; `home` is a folder for what it keeps."""
    name = runtime["launcher"]
    launcher: Launcher = getattr(import_module(f"transfer_cli.launch.{name}"), name.title())(runtime, home)
    return launcher
