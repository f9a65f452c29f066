"""transfer advise on three targets within a fifth of the time that every pair of the same sources and strategies took
to its end, and never above 15 minutes: how many points its pick is behind the best (regret). Writes results/advise.md,
advise.json and advise_TARGET.txt, what it printed.

TRANSFER_DATA=/path/to/data python benchmarks/claims/advise.py [--seeds 3] [--budget SECONDS] [TARGET ...]
After `rank.py --pretrain --runs`, whose sweep is the one it is held against. Advice and sweep have a folder of runs
each, that begin with the taught nets: neither finds what the other computed. The time of the sweep is that of its
stages, each counted once, as they took when they were computed; what processes and drawings took is not in it. It is
that of three seeds, also where --seeds says that fewer were computed."""

import json
import os
import sys
import time
from typing import Any

from rank import DATA, RESULTS, SEEDS, SOURCES, STRATEGIES, TARGETS, TEACHING, TRAINING, begun, here, sweep, transfer

MOST_S, SHARE = 900.0, 0.2
Runs = dict[str, list[dict[str, Any]]]


def advise(target: str, sources: list[tuple[str, ...]], budget: float) -> dict[str, Any]:
    """The document of the advice, with the seconds it took, first imports and all."""
    words = [*TARGETS[target], *TRAINING, *TEACHING, f"strategy={','.join(STRATEGIES)}", "--budget", f"{budget:.0f}s"]
    for source in sources:
        words += ["--candidate", " ".join(source)]
    start = time.monotonic()
    text = transfer("advise", *words, "--json", runs=begun("advise"))
    seconds = time.monotonic() - start
    shown = transfer("advise", *words, "--format", "table", runs=begun("advise"))  # it is finished, so only told
    (RESULTS / f"advise_{target}.txt").write_text(shown.replace(str(DATA), "$TRANSFER_DATA"))
    return {**json.loads(text), "seconds": seconds}


def asked(runs: Runs) -> Runs:
    """What advise chooses among: its strategies of the taught nets, scratch of the others."""
    return {name: done for name, done in runs.items() if not name.startswith("linear_probe ") or "=none" not in name}


def seconds(runs: Runs) -> float:
    """Of all stages but pretraining, each once; of three seeds."""
    stages = [stage for done in runs.values() for each in done for stage in each["stages"]]
    took = {each["key"]: each["seconds"] for each in stages if each["name"] != "pretrain" and each["key"]}
    return sum(took.values()) * int(SEEDS) / len(next(iter(runs.values())))


def line(target: str, advice: dict[str, Any], runs: Runs) -> dict[str, Any]:
    values = {name: [each["headline"]["value"] for each in done] for name, done in runs.items()}
    reached = {name: sum(each) / len(each) for name, each in values.items()}
    best, swept = max(reached, key=lambda name: reached[name]), seconds(runs)
    row = {"target": target, "take": advice["take"], "reached": reached, "best": best, "seeds": len(values[best])}
    row |= {"advice_s": advice["seconds"], "sweep_s": swept, "share": advice["seconds"] / swept}
    if advice["take"] is None:
        return row
    said = set(advice["take"].replace("strategy=", "").split())
    pick = next(name for name in reached if set(name.split()) <= said)
    return row | {"pick": pick, "regret_points": 100 * (reached[best] - reached[pick])}


def markdown(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| target | advise takes | it reaches % | best of the sweep | it reaches % | regret, points | advise | sweep |"
        " share |",
        "|---|---|---:|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        pick, best, reached = row.get("pick"), row["best"], row["reached"]
        cells = [row["target"], plain(pick), f"{100 * reached[pick]:.1f}" if pick else "", plain(best)]
        cells += [f"{100 * reached[best]:.1f}", f"{row['regret_points']:.1f}" if pick else ""]
        cells += [f"{row['advice_s']:.0f} s", f"{row['sweep_s']:.0f} s", f"{100 * row['share']:.0f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    seeds = min(row["seeds"] for row in rows)
    note = f"Accuracies: means over {seeds} seed{'s' * (seeds > 1)} on test. Sweep: the time of {SEEDS} seeds"
    note += f", as {seeds} took." if seeds < int(SEEDS) else "."
    return "\n".join([*lines, "", note]) + "\n"


def plain(pair: str | None) -> str:
    """A pair without places and pixels: `fine_tune lenet mnist`."""
    if pair is None:
        return "nothing"
    strategy, model, source, *_ = pair.split()
    start = "its weights" if source.startswith("weights=") else source.partition("=")[2]
    return f"{strategy}, {model.partition('=')[2]} {start}"


def main(argv: list[str]) -> None:
    seeds = argv[argv.index("--seeds") + 1] if "--seeds" in argv else SEEDS
    budget = float(argv[argv.index("--budget") + 1]) if "--budget" in argv else 0.0
    sources, kept = [source for source in SOURCES if here(source)], RESULTS / "advise.json"
    for target in [name for name in argv if name in TARGETS] or TARGETS:
        runs = asked(sweep(target, sources, seeds))
        advice = advise(target, sources, budget or min(MOST_S, SHARE * seconds(runs)))
        found = json.loads(kept.read_text()) if kept.is_file() else {}
        found[target] = {**line(target, advice, runs), "cores": os.cpu_count(), "advice": advice}
        kept.write_text(json.dumps(found, indent=1).replace(str(DATA), "$TRANSFER_DATA") + "\n")
        (RESULTS / "advise.md").write_text(markdown(list(found.values())))
        print(markdown([found[target]]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
