"""The benchmark of kills, with one kill: it runs, it kills, and the bytes are those of an undisturbed run."""

import json
import subprocess
import sys
from pathlib import Path

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "kills.py"


def test_one_kill_leaves_no_trace_in_any_file(tmp_path: Path) -> None:
    results = tmp_path / "kills.json"
    ended = subprocess.run([sys.executable, BENCHMARK, "1", results], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    total = json.loads(results.read_text())["total"]
    assert (total["kills"], total["differing"]) == (1, 0)
    assert total["runs"] >= 1
    assert total["files"] >= 3
    assert "all: 1 kills, " in ended.stdout
