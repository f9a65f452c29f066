"""What a run records about its machine: versions, platform, commit and the allowed environment variables. It records no
secrets and no home directory."""

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
    """Versions of this program, of Python and of the packages that influence results, read without importing them."""
    from importlib.metadata import PackageNotFoundError, version

    version_of = {"transfer": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            version_of[package] = version(package)
        except PackageNotFoundError:
            continue
    return version_of


@lru_cache(maxsize=1)
def commit() -> str | None:
    """Commit of this program's working tree, with `-dirty` if files differ from it; None if the program does not run
    from a working tree."""
    import subprocess

    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    here = Path(__file__).resolve().parents[1]
    # without this check, a package that is installed inside another project would record that project's commit
    if not (here.parent / ".git").exists():
        return None
    try:
        process = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return process.stdout.strip() or None


def env(argv: Sequence[str]) -> dict[str, Any]:
    """Content of env.json."""
    return {
        "command": hide_secrets(argv),
        "commit": commit(),
        "environment": environment(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": versions(),
    }
