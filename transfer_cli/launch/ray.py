"""Ray: a task is a remote function in a worker of its own, on this machine or on the cluster that RAY_ADDRESS names.
Of several machines the folder of runs is shared, on a file system where file locks work."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transfer_cli.errors import Fault, ResourceError
from transfer_cli.launch.launcher import DIED, Task


class Ray:
    here = False  # Ray shares the cores out: a task gets `threads` of them

    def __init__(self, runtime: Mapping[str, Any], home: Path) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # we do not report on our users
        import ray

        if not ray.is_initialized():
            self._connect(ray)
        threads = runtime["threads"]
        # a worker serves one task, so that a run leaves nothing to the next; a lost run is ours to repeat, not Ray's
        once: dict[str, Any] = {"max_calls": 1, "max_retries": 0}
        self._remote = ray.remote(num_cpus=1 if threads == "auto" else threads, num_gpus=runtime["gpus"] or 0, **once)(
            _enter
        )

    @staticmethod
    def _connect(ray: Any) -> None:
        alone = {"include_dashboard": False} if "RAY_ADDRESS" not in os.environ else {}
        try:
            ray.init(log_to_driver=False, configure_logging=False, **alone)
        except Exception as error:  # it has no class of its own for this
            reason = str(error).strip().splitlines()
            raise ResourceError(Fault("runtime", f"Ray did not start: {reason[0] if reason else ''}", "ray")) from error

    def start(self, task: Task) -> "RayJob":
        return RayJob(self._remote.remote(task, os.getcwd()))


class RayJob:
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

        ray.cancel(self._end)  # what waits is dropped, what runs gets a SIGINT


def _enter(task: Task, cwd: str) -> int:
    """In the worker."""
    os.chdir(cwd)
    return task()
