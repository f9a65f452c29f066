"""Offline, single-threaded, with the shared data where it lies beside the project."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")
os.environ["TRANSFER_OFFLINE"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
SHARED = Path(__file__).parents[2] / "shared" / "datasets"
if SHARED.is_dir():
    os.environ.setdefault("TRANSFER_DATA", str(SHARED))


class Told(NamedTuple):
    """What a command line ended with."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """Lines of stderr from the first error on; what comes before is talk."""
        lines = self.err.splitlines()
        return next((lines[i:] for i, line in enumerate(lines) if line.startswith(("error:", "internal"))), [])


@pytest.fixture
def transfer(tmp_path: Path, capsys: Any, monkeypatch: Any) -> Callable[..., Told]:
    """`transfer("run", "data=digits")` in this process: called from tmp_path, its runs folder is tmp_path/runs."""
    from transfer_cli.cli.main import main

    monkeypatch.setenv("TRANSFER_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)

    def call(*argv: str) -> Told:
        capsys.readouterr()
        return Told(main(list(argv)), *capsys.readouterr())

    return call
