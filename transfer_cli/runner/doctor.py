"""Checks of what works on this machine. torch is imported only with -v, to list its devices. The network is not
used."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from transfer_cli.analysis import numbers
from transfer_cli.config import folders
from transfer_cli.errors import Fault, TransferError
from transfer_cli.rundir.record import versions
from transfer_cli.runner import local_inventory
from transfer_cli.runner.options import Options
from transfer_cli.safe import shown

CPU_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+).*extra == [\"'](\w+)[\"']")
BUSY = 0.25  # if other programs use more cores than this, timings are unreliable


class Finding(NamedTuple):
    """The result of one check. `level`: ok, warn, FAIL (a run would stop), off (not installed) or note."""

    level: str
    topic: str
    detail: str


def findings(options: Options) -> tuple[list[Finding], int]:
    """All findings and the exit code: 0, or the largest code of the checks that failed."""
    results, code = [], 0
    for check in CHECKS:
        try:
            results += list(check(options))
        except TransferError as error:  # the other checks still run
            code = max(code, error.code)
            results += [_failure(check.__name__, fault) for fault in error.faults]
    return results, code


def _failure(topic: str, fault: Fault) -> Finding:
    return Finding("FAIL", topic, fault.line() + (f"; {fault.do}" if fault.do else ""))


def program(options: Options) -> Iterator[Finding]:
    have = versions()
    rest = [f"{name} {have[name]}" for name in ("torch", "torchvision") if name in have]
    yield Finding("ok", "program", ", ".join([have["transfer"], f"Python {have['python']}", *rest]))


def device(options: Options) -> Iterator[Finding]:
    flags = [flag for flag in CPU_FLAGS if flag in cpu_flags()]
    fast = "bf16 is fast here" if "amx_bf16" in flags or "avx512_bf16" in flags else "no bf16 instructions"
    yield Finding(
        "ok", "device", f"cpu, {local_inventory.threads()} cores; {' '.join(flags) or 'flags unknown'}: {fast}"
    )
    if options.verbose:
        yield Finding("ok", "device", _seen_by_torch())
    elif Path("/dev/nvidiactl").exists():
        yield Finding("note", "device", "an NVIDIA driver is here; transfer doctor -v asks torch")


def cpu_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """CPU flags of the first core; empty if the system does not report them."""
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return frozenset(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())


def _seen_by_torch() -> str:
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return f"torch: {torch.get_num_threads()} threads, {', '.join(gpus) or 'no GPU'}"


def load(options: Options) -> Iterator[Finding]:
    busy, cores = os.getloadavg()[0], local_inventory.threads()
    if busy < BUSY:
        yield Finding("ok", "load", f"{busy:.1f} of {cores} cores in use")
        return
    slower = max(1.0, (busy + cores) / cores)
    yield Finding("warn", "load", f"other programs use {busy:.1f} cores: timings about {slower:.1f}x longer")


def store(options: Options) -> Iterator[Finding]:
    place = options.runs / ".store"
    if not place.exists():
        free = _free(options.runs)
        yield Finding("note", "store", f"{shown(place)}: does not exist yet, the first run creates it; {free} free")
        return
    from transfer_cli.store.store import Store

    keys = Store(place).keys()
    used = sum(file.stat().st_size for key in keys for file in (place / key).glob("*") if file.is_file())
    facts = f"{len(keys):,} stages, {numbers.size(used)} used, {_free(place)} free"
    yield Finding("ok", "store", f"{shown(place)}: writable, locks work, {facts}")


def _free(place: Path) -> str:
    existing = next((folder for folder in (place, *place.absolute().parents) if folder.exists()), Path("/"))
    return numbers.size(shutil.disk_usage(existing).free)


def data(options: Options) -> Iterator[Finding]:
    from transfer_cli.data.fetch.datasets import SETS, here

    folder, cache = local_inventory.data_folder(), options.runs / ".cache"
    if folder is None:
        yield Finding("note", "data", "TRANSFER_DATA is not set: only what transfer fetch brings is found")
    elif not folder.is_dir():
        yield Finding("warn", "data", f"TRANSFER_DATA={shown(folder)}: no such folder")
    present = [local_inventory.IN_PACKAGE, *(name for name in SETS if here(name, cache))]
    yield Finding("ok", "data", ", ".join(present) + (f" in {shown(folder)}" if folder else ""))
    absent = [name for name in SETS if name not in present]
    if absent:
        yield Finding("off", "data", f"{', '.join(absent)}: transfer fetch {absent[0]}")


def weights(options: Options) -> Iterator[Finding]:
    files = local_inventory.weights(options.runs)
    yield Finding("ok", "weights", ", ".join(files)) if files else Finding("off", "weights", "no weights files here")


def extras(options: Options) -> Iterator[Finding]:
    packages_of: dict[str, list[str]] = {}
    for requirement in metadata.requires("transfer-cli") or [] if _installed("transfer-cli") else []:
        if match := REQUIREMENT.match(requirement):
            packages_of.setdefault(match[2], []).append(match[1])
    missing = [extra for extra, packages in packages_of.items() if not all(map(_installed, packages))]
    if missing:
        names = ",".join(missing)
        yield Finding("off", "extras", f"{names.replace(',', ', ')}: pip install 'transfer-cli[{names}]'")


def _installed(package: str) -> bool:
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def config(options: Options) -> Iterator[Finding]:
    yield Finding("ok", "config", f"{shown(folders.conf_dir())} (the program's own)")
    for place in options.config_dirs:
        count = sum(len(list((place / group).glob("*.yaml"))) for group in folders.GROUPS)
        clashes = folders.hidden([place])
        level = "FAIL" if clashes else "note"
        faults = "".join(f"; {fault.line()}" for fault in clashes)
        yield Finding(level, "config", f"{shown(place)} adds {count} options{faults}")


Check = Callable[[Options], Iterator[Finding]]
CHECKS: tuple[Check, ...] = (program, device, load, store, data, weights, extras, config)
