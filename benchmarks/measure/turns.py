"""What benchmarks print and write of contestants that took turns."""

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from transfer_cli.engine.interleaved_timing import Seconds
from transfer_cli.engine.interleaved_timing import turns as turns

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class Pair:
    """`of` against `to`: their ratio, and what it should be at most; `most_ms` is for the difference."""

    of: str
    to: str
    most: float | None = None
    most_ms: float | None = None


def program(*command: str, **environment: str) -> Callable[[], None]:
    """A whole process, from its start to its end. Raises RuntimeError, with what it said, if it fails."""

    def run() -> None:
        done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} [{done.returncode}]\n{done.stderr}")

    return run


def installed(name: str) -> str:
    """The path of a console script of this environment."""
    return str(Path(sys.executable).parent / name)


def report(
    benchmark: str,
    taken: Mapping[str, Seconds],
    pairs: Mapping[str, list[Pair]],
    facts: Mapping[str, float] | None = None,
) -> None:
    """Prints the ratios of each group of contestants and what else was worked out (`facts`); writes them to
    results/BENCHMARK.json."""
    found = {group: _group(seconds, pairs[group]) for group, seconds in taken.items()}
    for group, (times, ratios) in found.items():
        print(f"{benchmark}: {group}")
        for name, row in times.items():
            print(f"  {name:<28} {row['min_ms']:>10.3f} ms   median {row['median_ms']:>10.3f}   of {row['rounds']}")
        for row in ratios:
            print("  " + _told(row))
    for name, value in (facts or {}).items():
        print(f"{benchmark}: {name}: {value}")
    document = {
        "benchmark": benchmark,
        "machine": machine(),
        "groups": {group: {"times": times, "ratios": ratios} for group, (times, ratios) in found.items()},
        **(facts or {}),
    }
    write(benchmark, document)


def write(benchmark: str, document: Mapping[str, object]) -> None:
    """results/BENCHMARK.json"""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{benchmark}.json").write_text(json.dumps(document, indent=1) + "\n")


def machine() -> dict[str, object]:
    """Where and how busy: what the figures depend on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "omp_threads": os.environ.get("OMP_NUM_THREADS", "default"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _group(seconds: Seconds, pairs: list[Pair]) -> tuple[dict[str, dict[str, float]], list[dict[str, object]]]:
    times = {
        name: {
            "min_ms": round(min(each) * 1e3, 4),
            "median_ms": round(statistics.median(each) * 1e3, 4),
            "rounds": len(each),
        }
        for name, each in seconds.items()
    }
    return times, [_ratio(pair, seconds) for pair in pairs]


def _ratio(pair: Pair, seconds: Seconds) -> dict[str, object]:
    mine, theirs = seconds[pair.of], seconds[pair.to]
    row: dict[str, object] = {
        "of": pair.of,
        "to": pair.to,
        "min": round(min(mine) / min(theirs), 4),
        "median": round(statistics.median(mine) / statistics.median(theirs), 4),
        "difference_ms": round((min(mine) - min(theirs)) * 1e3, 4),
        "median_difference_ms": round(statistics.median(a - b for a, b in zip(mine, theirs, strict=True)) * 1e3, 4),
    }
    if pair.most is not None:
        row |= {"goal": pair.most, "met": min(mine) / min(theirs) <= pair.most}
    if pair.most_ms is not None:
        row |= {"goal_ms": pair.most_ms, "met_ms": (min(mine) - min(theirs)) * 1e3 <= pair.most_ms}
    return row


def _told(row: Mapping[str, object]) -> str:
    text = f"{row['of']} / {row['to']}: {row['min']} (medians {row['median']})"
    if "goal" in row:
        text += f"; goal {row['goal']} {'met' if row['met'] else 'MISSED'}"
    if "goal_ms" in row:
        text += f"; {row['difference_ms']} ms more, goal {row['goal_ms']} ms {'met' if row['met_ms'] else 'MISSED'}"
    return text
