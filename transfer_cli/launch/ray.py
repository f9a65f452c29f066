"""Runs tasks with Ray: each task is a remote function in a separate worker, on this machine or on the cluster at
RAY_ADDRESS. With several machines, the folder of runs must be on a shared file system with working file locks."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfer_cli.errors import Fault, ResourceError
from transfer_cli.launch.launcher import DIED, Task


class Ray:
    """Launcher for Ray."""

    here = False  # Ray assigns the cores: each task gets `threads` of them

    def __init__(self, runtime: Mapping[str, Any], home: Path) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # send no usage statistics
        import ray

        if not ray.is_initialized():
            self._connect(ray)
        threads = runtime["threads"]
        # one task per worker, so that runs do not influence each other; the sweep repeats lost runs, not Ray
        once: dict[str, Any] = {"max_calls": 1, "max_retries": 0}
        self._remote = ray.remote(num_cpus=1 if threads == "auto" else threads, num_gpus=runtime["gpus"] or 0, **once)(
            _enter
        )

    @staticmethod
    def _connect(ray: Any) -> None:
        settings = {"include_dashboard": False} if "RAY_ADDRESS" not in os.environ else {}
        try:
            ray.init(log_to_driver=False, configure_logging=False, **settings)
        except Exception as error:  # Ray has no specific class for this
            reason = str(error).strip().splitlines()
            raise ResourceError(Fault("runtime", f"Ray did not start: {reason[0] if reason else ''}", "ray")) from error

    def start(self, task: Task) -> "RayJob":
        return RayJob(self._remote.remote(task, os.getcwd()))


class RayJob:
    """A task in a Ray worker."""

    sentinel = None

    def __init__(self, end: Any) -> None:
        self._end = end

    def code(self) -> int | None:
        import ray

        if not ray.wait([self._end], timeout=0)[0]:
            return None
        try:
            return int(ray.get(self._end))
        except ray.exceptions.RayError:
            return DIED

    def stop(self) -> None:
        import ray

        ray.cancel(self._end)  # a waiting task is dropped, a running one gets SIGINT


def _enter(task: Task, cwd: str) -> int:
    """Runs in the worker."""
    os.chdir(cwd)
    return task()
