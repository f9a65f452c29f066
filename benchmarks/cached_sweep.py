"""The second time a sweep of 40 runs is asked for nothing is computed: the whole process against `import torch`.
Goal: 1.5."""

import sys
import tempfile

from measure.turns import Pair, installed, program, report, turns

TORCH = "python -c 'import torch'"
SWEEP = "sweep of 40 runs, all cached"
CHOICES = ("strategy=scratch,linear_probe,fine_tune,knn", "data=digits", "data.shots=5,20", "model=mlp", "trainer=tiny")
WORDS = (*CHOICES, "--seeds", "5")


def main() -> None:
    with tempfile.TemporaryDirectory() as runs:
        sweep = program(installed("transfer"), "run", *WORDS, "--runs", runs, "-q", TRANSFER_OFFLINE="1")
        sweep()  # computes
        taken = turns({TORCH: program(sys.executable, "-c", "import torch"), SWEEP: sweep}, rounds=5)
    report("cached_sweep", {"whole processes": taken}, {"whole processes": [Pair(SWEEP, TORCH, most=1.5)]})


if __name__ == "__main__":
    main()
