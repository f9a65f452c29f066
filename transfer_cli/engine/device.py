"""Devices, threads, precision and the identity class. They affect the last bits of a result, but not its meaning."""

import contextlib
import os
import platform
import resource
from pathlib import Path
from typing import Any

import numpy
import torch

from transfer_cli.engine.settings import Runtime
from transfer_cli.errors import ConfigError, Fault

ISA_VARIABLES = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS")


def setup(runtime: Runtime, place: int = 0, places: int = 1, at_once: int = 1) -> torch.device:
    """Sets the number of threads and returns the device of a run. `threads: auto` is torch's number, divided by the
    number of runs that run `at_once`. `place` is the index of this process among the `places` processes on this
    machine. Raises ConfigError if `device: gpu` is set and there is no GPU, or fewer GPUs than processes."""
    if runtime.threads != "auto":
        torch.set_num_threads(runtime.threads)
    elif at_once > 1:
        torch.set_num_threads(max(1, torch.get_num_threads() // at_once))
    if runtime.device == "gpu" and not torch.cuda.is_available():
        raise ConfigError(Fault("runtime.device", "no CUDA device here", "gpu", do="runtime=cpu"))
    if runtime.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if places > (gpus := torch.cuda.device_count()):
        text = f"one GPU a process, and there are {gpus}"
        raise ConfigError(Fault("runtime.processes", text, str(places), do="runtime.processes=auto, or device=cpu"))
    if places > 1:
        torch.cuda.set_device(place)
        return torch.device("cuda", place)
    return torch.device("cuda")


def identity(device: torch.device) -> dict[str, Any]:
    """The identity class: versions, CPU capability, threads, device. Within one class, the same key gives the same
    bits."""
    return {
        "torch": torch.__version__.partition("+")[0],
        "numpy": numpy.__version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "isa": {name: os.environ[name] for name in ISA_VARIABLES if name in os.environ},
    }


def peak_bytes(device: torch.device) -> int:
    """Peak memory in bytes: of the tensors on a GPU, otherwise of this process. The value of /proc is preferred,
    because `getrusage` also counts the peak of the parent process before it started this program."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """A context manager: autocast to bf16; for fp32 it does nothing."""
    if precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def reseed(seed32: int) -> None:
    """Seeds torch's default generators. Takes 1 us; torch.manual_seed takes 100 us."""
    torch.default_generator.manual_seed(seed32)
    if torch.cuda.is_initialized():
        torch.cuda.default_generators[torch.cuda.current_device()].manual_seed(seed32)
