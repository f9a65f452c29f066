"""Offline, single-threaded, with the shared data where it lies beside the project."""

import os
import tempfile
from collections.abc import Callable, Iterator
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


IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # hundreds of fsyncs then cost nothing


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory where there is one."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def shelf() -> Iterator[Path]:
    """The same for the tests of a file together."""
    with tempfile.TemporaryDirectory(dir=IN_MEMORY) as folder:
        yield Path(folder)


@pytest.fixture
def here(shelf: Path) -> Iterator[Path]:
    """A directory of one test on the `shelf`."""
    with tempfile.TemporaryDirectory(dir=shelf) as folder:
        yield Path(folder)


@pytest.fixture
def whole(memory: Path) -> bytes:
    """MANIFEST of a training that nobody disturbed."""
    from toystage import manifest, train

    assert train(memory / "whole") == "trained from 0"
    return manifest(memory / "whole")
