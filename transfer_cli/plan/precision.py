"""Resolves `model.precision=auto` on this machine. It is bf16 if the hardware has bf16 instructions, otherwise fp32,
because emulated bf16 is many times slower (`transfer doctor model=NAME` measures it). No torch."""

from functools import cache
from pathlib import Path

CPUINFO, GPU = Path("/proc/cpuinfo"), Path("/dev/nvidia0")
FLAGS = {"amx_bf16", "avx512_bf16", "bf16"}  # x86, x86, ARM


def resolved(precision: str, device: str) -> str:
    """Returns "fp32" or "bf16" for `precision` on `device` (auto, cpu or gpu). The result is part of stage keys, so two
    machines with different results share no stages unless the precision is given explicitly."""
    if precision != "auto":
        return precision
    return "bf16" if (device != "cpu" and GPU.exists()) or _cpu_has_bf16() else "fp32"


@cache
def _cpu_has_bf16() -> bool:
    try:
        text = CPUINFO.read_text()
    except OSError:
        return False
    lines = [line for line in text.splitlines() if line.lower().startswith(("flags", "features"))]
    return any(FLAGS & set(line.partition(":")[2].split()) for line in lines[:1])
