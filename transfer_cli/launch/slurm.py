"""Runs tasks on a Slurm cluster with submitit: each task is a job. `runtime.cluster=local` runs the same jobs on this
machine. The folder of runs must be on a file system that all nodes share, with file locks that work across nodes.

submitit passes tasks as pickles, in a new folder that only this user can read. No pickle is read back: a task writes
its exit code as text."""

import os
import secrets
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.launch.launcher import DIED, Task

WARNING_S = 90  # seconds before the time limit at which a job is warned: enough to save and exit


class Slurm:
    """Launcher for Slurm."""

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
        except FailedJobError as error:  # errors of sbatch: unknown partition, above a limit
            raise ConfigError(Fault("runtime", " ".join(str(error).split()), "slurm")) from error


class SlurmJob:
    """A task as a job of the queue."""

    sentinel = None

    def __init__(self, job: Any, end: Path, here: bool) -> None:
        self._job, self._end, self._here = job, end, here

    def code(self) -> int | None:
        if (code := _read(self._end)) is not None:
            return code
        if not self._job.done():
            return None
        code = _read(self._end)  # it may have ended between the two checks
        return DIED if code is None else code

    def stop(self) -> None:
        if not self._here:
            self._job.cancel(check=False)  # scancel sends SIGTERM, and SIGKILL only after some time to save
        elif not self._job.done():
            os.kill(int(self._job.job_id), signal.SIGTERM)  # its own `cancel` allows only one second


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
    """Runs in the job: calls the task in the working directory of the command, and writes its exit code atomically."""
    os.chdir(cwd)
    code = task()
    part = end.with_suffix(".part")
    part.write_text(str(code))
    os.replace(part, end)


def _read(path: Path) -> int | None:
    with suppress(FileNotFoundError):
        return int(path.read_text())
    return None
