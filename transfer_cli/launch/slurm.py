"""A Slurm cluster, through submitit: a task is a job of the queue. `runtime.cluster=local` runs the same jobs on this
machine. The folder of runs lies on a file system that the nodes share and where file locks work across them.

submitit hands tasks over as pickles. They lie in a folder made for this one session, and no pickle is read back: a
task leaves its exit code as text."""

import os
import secrets
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.launch.launcher import DIED, Task

WARNING_S = 90  # before the time is up: enough to save and leave


class Slurm:
    def __init__(self, runtime: Mapping[str, Any], home: Path) -> None:
        from submitit import AutoExecutor

        self.here = runtime["cluster"] == "local"
        self._home = home.resolve() / f"jobs-{secrets.token_hex(4)}"
        self._home.mkdir(mode=0o700, parents=True)
        self._count = 0
        self._executor = AutoExecutor(self._home, cluster=runtime["cluster"])
        self._executor.update_parameters(**_parameters(runtime))

    def start(self, task: Task) -> "SlurmJob":
        from submitit.core.utils import FailedJobError

        self._count += 1
        end = self._home / f"{self._count}.code"
        try:
            return SlurmJob(self._executor.submit(_enter, task, end, os.getcwd()), end, self.here)
        except FailedJobError as error:  # what sbatch said: no such partition, over a limit
            raise ConfigError(Fault("runtime", " ".join(str(error).split()), "slurm")) from error


class SlurmJob:
    sentinel = None

    def __init__(self, job: Any, end: Path, here: bool) -> None:
        self._job, self._end, self._here = job, end, here

    def code(self) -> int | None:
        if (code := _read(self._end)) is not None:
            return code
        if not self._job.done():
            return None
        code = _read(self._end)  # it may have ended between the two looks
        return DIED if code is None else code

    def stop(self) -> None:
        if not self._here:
            self._job.cancel(check=False)  # scancel: SIGTERM, and time to save before SIGKILL
        elif not self._job.done():
            os.kill(int(self._job.job_id), signal.SIGTERM)  # its own `cancel` leaves a second


def _parameters(runtime: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of `runtime` under the names of submitit; null leaves a choice to the cluster."""
    threads = runtime["threads"]
    parameters = {
        "name": "transfer",
        "timeout_min": runtime["time"],
        "mem_gb": runtime["memory"],
        "gpus_per_node": runtime["gpus"],
        "cpus_per_task": None if threads == "auto" else threads,
        "slurm_partition": runtime["partition"],
    }
    if runtime["cluster"] == "slurm":
        parameters |= {"slurm_signal_delay_s": WARNING_S}
    return {name: value for name, value in parameters.items() if value is not None}


def _enter(task: Task, end: Path, cwd: str) -> None:
    """In the job: the task in the folder where the command was given, its code into a file that appears whole."""
    os.chdir(cwd)
    code = task()
    part = end.with_suffix(".part")
    part.write_text(str(code))
    os.replace(part, end)


def _read(path: Path) -> int | None:
    with suppress(FileNotFoundError):
        return int(path.read_text())
    return None
