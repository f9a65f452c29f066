"""A sweep of eight runs that share one pretraining, against the same eight as commands that share nothing: each with a
folder of runs of its own, one after the other. Goal: 6 times. Then what one more run costs a sweep whose stages are all
there, as the slope between 8 and 40 of them.  TRANSFER_DATA=/path/to/data python benchmarks/sharing.py"""

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from measure.turns import Pair, installed, program, report, turns

STRATEGIES = ("linear_probe", "fine_tune")
WORDS = ("source=mnist", "data=usps", "data.shots=10", "fine_tune.trainer.steps=50")  # pretrain: the 1,000 of default
FEW, MANY = 8, 40
SHARED, ALONE = f"sweep of {FEW} runs", f"{FEW} commands, nothing shared"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        new = (Path(folder) / str(number) for number in itertools.count())
        kept = next(new)
        computed = turns({SHARED: sweep(kept, FEW), ALONE: alone(new)}, rounds=1, warm=0)
        again = {cached(count): sweep(kept, count) for count in (FEW, MANY)}
        found = turns(again, rounds=5)  # the round to warm up computes what the larger one has more
    slope = (min(found[cached(MANY)]) - min(found[cached(FEW)])) / (MANY - FEW) * 1e3
    groups = {"computed": computed, "cached": found}
    pairs = {
        "computed": [Pair(SHARED, ALONE, most=1 / 6)],
        "cached": [Pair(cached(MANY), cached(FEW))],
    }
    report("sharing", groups, pairs, {"ms of one more cached run": round(slope, 1)})


def cached(count: int) -> str:
    return f"sweep of {count} runs, all cached"


def run(runs: Path, *words: str) -> Callable[[], None]:
    return program(installed("transfer"), "run", *WORDS, *words, "--runs", str(runs), "-q", TRANSFER_OFFLINE="1")


def sweep(runs: Path, count: int) -> Callable[[], None]:
    return run(runs, f"strategy={','.join(STRATEGIES)}", "--seeds", str(count // len(STRATEGIES)))


def alone(new: Iterator[Path]) -> Callable[[], None]:
    def each() -> None:
        for strategy, seed in itertools.product(STRATEGIES, range(FEW // len(STRATEGIES))):
            run(next(new), f"strategy={strategy}", f"seed={seed}")()

    return each


if __name__ == "__main__":
    main()
