"""What auto means: bf16 where the machine computes it itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from transfer_cli.plan import precision
from transfer_cli.plan.precision import resolved


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine whose /proc/cpuinfo is a file of ours, without a GPU."""
    monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(precision, "GPU", tmp_path / "nvidia0")
    precision._cpu_has_bf16.cache_clear()
    yield tmp_path
    precision._cpu_has_bf16.cache_clear()


@pytest.mark.parametrize(
    ("line", "means"),
    [
        ("flags\t\t: fpu avx2 avx512f amx_bf16 amx_tile", "bf16"),
        ("flags\t\t: fpu avx2 avx512_bf16", "bf16"),
        ("Features\t: fp asimd bf16 i8mm", "bf16"),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni", "fp32"),
        ("model name\t: amx_bf16", "fp32"),
    ],
)
def test_auto_looks_at_the_instructions(machine: Path, line: str, means: str) -> None:
    (machine / "cpuinfo").write_text(f"processor\t: 0\n{line}\n")
    assert resolved("auto", "cpu") == means
    assert [resolved(word, "cpu") for word in ("fp32", "bf16")] == ["fp32", "bf16"]


def test_auto_on_a_gpu_is_bf16_unless_the_cpu_is_wanted(machine: Path) -> None:
    (machine / "nvidia0").touch()
    assert [resolved("auto", device) for device in ("auto", "gpu", "cpu")] == ["bf16", "bf16", "fp32"]
