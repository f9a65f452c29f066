"""Commands that need no torch, as whole processes, against `import torch`. Goal for --help and list: 0.15."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measure.turns import Pair, installed, program, report, turns

TORCH = "python -c 'import torch'"
MANY = 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = many_runs(Path(folder) / "many", MANY)
        report("startup", {"whole processes": race(runs, Path(folder) / "empty")}, {"whole processes": goals()})


def race(runs: Path, empty: Path) -> dict[str, list[float]]:
    transfer, quiet = installed("transfer"), {"TRANSFER_OFFLINE": "1"}
    return turns(
        {
            TORCH: program(sys.executable, "-c", "import torch"),
            "transfer --help": program(transfer, "--help"),
            "transfer list, no runs": program(transfer, "list", "--runs", str(empty)),
            f"transfer list, {MANY:,} runs": program(transfer, "list", "--runs", str(runs)),
            "transfer list strategies": program(transfer, "list", "strategies"),
            "completion of strategy=": program(transfer, "__complete", "run", "strategy="),
            "transfer show data=digits": program(transfer, "show", "data=digits", "--runs", str(runs), **quiet),
        },
        rounds=5,
    )


def goals() -> list[Pair]:
    listed = ("transfer list, no runs", f"transfer list, {MANY:,} runs", "transfer list strategies")
    quick = [Pair(name, TORCH, most=0.15) for name in ("transfer --help", *listed, "completion of strategy=")]
    return [*quick, Pair("transfer show data=digits", TORCH)]


def many_runs(runs: Path, count: int) -> Path:
    """One real run, and its results `count - 1` times over: into a pipe `list` reads and prints every one."""
    words = ("data=digits", "model=mlp", "trainer=tiny")
    subprocess.run([installed("transfer"), "run", *words, "--runs", str(runs), "-q"], check=True, capture_output=True)
    first = next(runs.glob("*/*/results.json")).parent
    started = first.name.partition("-")[0]
    names = [f"{started}-a{number:05d}" for number in range(count - 1)]
    for name in names:
        (first.parent / name).mkdir()
        shutil.copy(first / "results.json", first.parent / name)
    with (runs / ".order").open("a") as order:
        order.writelines(f"{first.parent.name}/{name}\n" for name in names)
    return runs


if __name__ == "__main__":
    main()
