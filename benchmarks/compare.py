"""transfer compare over 1,000 and 10,000 runs, as a whole process, against `import torch`. Goals: 1, and 10 times that
for 10 times the runs. A group is five seeds; each fifth is a scratch baseline, the others are tested against theirs."""

import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from measure.turns import Pair, installed, program, report, turns

TORCH = "python -c 'import torch'"
FEW, MANY = 1_000, 10_000
STRATEGIES = ("scratch", "linear_probe", "fine_tune", "knn", "partial")
SEEDS = 5


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        seconds = turns(
            {TORCH: program(sys.executable, "-c", "import torch")}
            | {name(count): comparison(Path(folder) / str(count), count) for count in (FEW, MANY)},
            rounds=5,
        )
    pairs = [Pair(name(FEW), TORCH, most=1.0), Pair(name(MANY), name(FEW), most=MANY / FEW)]
    report("compare", {"whole processes": seconds}, {"whole processes": pairs})


def name(count: int) -> str:
    return f"transfer compare, {count:,} runs"


def comparison(runs: Path, count: int) -> Any:
    made_up(runs, count)
    return program(installed("transfer"), "compare", "--all", "--runs", str(runs), TRANSFER_OFFLINE="1")


def made_up(runs: Path, count: int) -> None:
    """One real run, and its results `count` times over with other words, seeds and scores."""
    words = ("strategy=scratch", "data=digits", "model=mlp", "trainer=tiny")
    subprocess.run([installed("transfer"), "run", *words, "--runs", str(runs), "-q"], check=True, capture_output=True)
    first = next(runs.glob("scratch-*/*/results.json")).parent
    results, chance = json.loads((first / "results.json").read_bytes()), random.Random(0)
    for number in range(count - 1):
        folder = first.parent / f"{first.name.partition('-')[0]}-a{number:05d}"
        folder.mkdir()
        group, seed = divmod(number, SEEDS)
        other = changed(results, STRATEGIES[group % len(STRATEGIES)], group // len(STRATEGIES), seed, chance)
        (folder / "results.json").write_text(json.dumps({**other, "id": f"a{number:05d}"}, indent=1))
        with (runs / ".order").open("a") as order:
            order.write(f"{first.parent.name}/{folder.name}\n")


def changed(results: dict[str, Any], strategy: str, steps: int, seed: int, chance: random.Random) -> dict[str, Any]:
    """Another strategy, number of steps and seed, and scores that move with them."""
    trained = "none" if strategy == "scratch" else "supervised"
    config = {
        **results["config"],
        "seed": seed,
        "strategy": strategy,
        "trainer": {**results["config"]["trainer"], "steps": 100 + steps},
    }
    shift = chance.gauss(0, 0.02)
    scores = {
        name: value + shift if name.startswith("test/") else value
        for name, value in results["metrics"]["final"].items()
    }
    stages = [*results["stages"][:-1], {**results["stages"][-1], "key": f"{chance.getrandbits(128):032x}"}]
    return {
        **results,
        "words": [f"strategy={strategy}", f"trainer.steps={100 + steps}", f"seed={seed}"],
        "choices": {**results["choices"], "strategy": strategy, "pretrain": trained},
        "config": {**config, "pretrain": {**config["pretrain"], "method": trained}},
        "metrics": {"final": scores},
        "stages": stages,
    }


if __name__ == "__main__":
    main()
