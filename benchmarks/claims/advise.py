"""transfer advise within 15 minutes on three targets, against every pair of the same sources and strategies run to the
end: how many points its pick is behind the best (regret), and what share of that time it took. Writes
results/advise.json and advise.txt.

TRANSFER_DATA=/path/to/data python benchmarks/claims/advise.py [--budget 15m] [--seeds 3] [--no-sweep] [WORD ...]
[TARGET ...]
Sources are those of rank.py, which teaches their nets first (`rank.py --pretrain`). Advice and sweep have a store of
their own each, that begins with the taught nets: none finds what the other computed. --no-sweep: the advice alone;
words are added to all runs (trainer.steps=20: a rehearsal). The sweep takes hours on two cores."""

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from rank import DATA, RESULTS, TARGETS, TRAINING, here, run
from rank import SOURCES as NAMED

RUNS = Path(os.environ.get("TRANSFER_RUNS", "runs"))
STRATEGIES = ("linear_probe", "knn", "fine_tune")


def transfer(*words: str, runs: Path) -> str:
    """What the command prints."""
    done = run(*words, "--runs", str(runs))
    if done.returncode:
        sys.exit(f"transfer {' '.join(words)} [{done.returncode}]\n{done.stderr}")
    return done.stdout


def begun(name: str) -> Path:
    """A folder of runs with the nets that are taught so far."""
    folder = RUNS.parent / f"{RUNS.name}-{name}"
    if not folder.exists() and RUNS.exists():
        shutil.copytree(RUNS, folder, symlinks=True)
    return folder


def advise(target: str, sources: list[tuple[str, ...]], budget: str, more: list[str]) -> dict[str, Any]:
    """The document of the advice, with the seconds it took."""
    words = [*TARGETS[target], *TRAINING, *more, f"strategy={','.join(STRATEGIES)}"]
    for source in sources:
        words += ["--candidate", " ".join(source)]
    start = time.monotonic()
    text = transfer("advise", *words, "--budget", budget, "--json", runs=begun("advise"))
    return {**json.loads(text), "seconds": time.monotonic() - start}


def sweep(target: str, sources: list[tuple[str, ...]], seeds: str, more: list[str]) -> dict[str, Any]:
    """Means over seeds on test of every pair, by words, with the seconds of all runs."""
    start, reached = time.monotonic(), {}
    for source in sources:
        for strategy in ("scratch",) if "source=none" in source else STRATEGIES:
            words = [f"strategy={strategy}", *source, *TARGETS[target], *TRAINING, *more]
            text = transfer("run", *words, "--seeds", seeds, "--json", runs=begun("sweep"))
            values = [row["headline"]["value"] for row in json.loads(text)["runs"]]
            reached[f"{strategy} {' '.join(source)}"] = sum(values) / len(values)
    return {"reached": reached, "seconds": time.monotonic() - start}


def pick_of(words: str, pairs: dict[str, float]) -> str:
    """The pair of the sweep that the words of an advice mean."""
    said = set(words.replace("strategy=", "").split())
    return next(name for name in pairs if set(name.split()) <= said)


def line(target: str, advice: dict[str, Any], every: dict[str, Any] | None) -> dict[str, Any]:
    row = {"target": target, "take": advice["take"], "advice_s": round(advice["seconds"], 1)}
    if every is None or advice["take"] is None:
        return row
    reached = every["reached"]
    pick, best = pick_of(advice["take"], reached), max(reached, key=lambda name: reached[name])
    row |= {"pick": pick, "pick_accuracy": reached[pick], "best": best, "best_accuracy": reached[best]}
    share = advice["seconds"] / every["seconds"]
    return row | {"regret_points": 100 * (reached[best] - reached[pick]), "sweep_s": every["seconds"], "share": share}


def main(argv: list[str]) -> None:
    options = {name: argv[argv.index(name) + 1] for name in ("--budget", "--seeds") if name in argv}
    more = [text for text in argv if "=" in text]
    sources, kept = [source for source in NAMED if here(source)], RESULTS / "advise.json"
    for target in [name for name in argv if name in TARGETS] or list(TARGETS):
        advice = advise(target, sources, options.get("--budget", "15m"), more)
        every = None if "--no-sweep" in argv else sweep(target, sources, options.get("--seeds", "3"), more)
        found = json.loads(kept.read_text()) if kept.is_file() else {}
        found[target] = {"words": more, **line(target, advice, every), "advice": advice, "sweep": every}
        kept.write_text(json.dumps(found, indent=1).replace(str(DATA), "$TRANSFER_DATA") + "\n")
        table = [
            f"{name}: {row.get('regret_points', float('nan')):.2f} points behind the best, "
            f"{100 * row.get('share', float('nan')):.0f} % of the time ({row['advice_s']:.0f} s); took {row['take']}"
            for name, row in json.loads(kept.read_text()).items()
        ]
        (RESULTS / "advise.txt").write_text("\n".join(table) + "\n")
        print(table[-1])


if __name__ == "__main__":
    main(sys.argv[1:])
