"""What a run writes down about where it ran: versions, platform, commit, allowed variables; no secrets, no home."""

import platform
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from transfer_cli import __version__
from transfer_cli.safe import environment, hide_secrets

PACKAGES = (
    "torch",
    "torchvision",
    "transformers",
    "numpy",
    "safetensors",
    "hydra-core",
    "omegaconf",
    "pillow",
    "pandas",
)


@lru_cache(maxsize=1)
def versions() -> dict[str, str]:
    """Versions of this program, Python and the packages that decide numbers, read without importing them."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"transfer": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@lru_cache(maxsize=1)
def commit() -> str | None:
    """Commit of this program's working tree, with `-dirty` if files differ; None if it does not run from one."""
    import subprocess

    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    here = Path(__file__).resolve().parents[1]
    if not (here.parent / ".git").exists():  # else a package installed inside somebody's project would name that one
        return None
    try:
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def env(argv: Sequence[str]) -> dict[str, Any]:
    """Content of env.json."""
    return {
        "command": hide_secrets(argv),
        "commit": commit(),
        "environment": environment(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": versions(),
    }
