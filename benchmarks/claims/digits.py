"""The digits table of domain adaptation, from the run directories: what was reached beside what was published, and what
each rule that sees no target label lost against the oracle.

First the runs (hours on two cores; what is stored is not trained again), then the table:
  for name in source_only dan jan coral dann adda cdan mcd afn bsp mdd mcc shot; do
    transfer run experiment=digits_$name source=mnist data=usps --seeds 3
    transfer run experiment=digits_$name source=usps data=mnist --seeds 3
  done
  python benchmarks/claims/digits.py [RUNS]"""

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from transfer_cli.analysis.statistics import t_interval
from transfer_cli.config.compose import load
from transfer_cli.selection_rules import LABEL_FREE

RESULTS = Path(__file__).parents[1] / "results"
WAYS = ("mnist → usps", "usps → mnist")
# accuracy of Transfer-Learning-Library's digits page (best of 20 epochs on test, settings a direction, one seed), of
# SHOT the last step of its own page (three seeds)
PUBLISHED = {
    "source_only": (82.1, 74.6), "dan": (86.0, 89.5), "jan": (84.0, 86.8), "coral": (None, None), "dann": (91.7, 95.2),
    "adda": (94.5, 98.3), "cdan": (96.0, 97.7), "mcd": (94.1, 97.6), "afn": (88.6, 97.2), "bsp": (95.7, 97.8),
    "mdd": (94.8, 97.8), "mcc": (95.1, 94.6), "shot": (97.9, 98.0),
}  # fmt: skip
Found = dict[tuple[str, str], dict[int, dict[str, Any]]]


def main(runs: Path) -> None:
    found = read(runs)
    if not found:
        sys.exit(f"{runs}: no finished run of experiment=digits_*; the words of the runs are in this script")
    best = validators(found)
    text = "\n".join([*table(found, best[0][0] if best else "final"), "", *lost(best, found)]) + "\n"
    (RESULTS / "digits.md").write_text(text)
    rows = [
        {"method": m, "way": w, "seed": s, **run} for (m, w), each in sorted(found.items()) for s, run in each.items()
    ]
    (RESULTS / "digits.json").write_text(json.dumps({"runs": rows}, indent=1) + "\n")
    print(text)


def read(runs: Path) -> Found:
    """Accuracy in % by rule, and seconds, of the newest run of every method, direction and seed."""
    found: Found = defaultdict(dict)
    for path in sorted(runs.glob("*-*/*/results.json"), key=lambda path: path.parent.name):
        document = json.loads(path.read_bytes())
        if document["status"] == "done" and as_committed(document):
            way = f"{document['choices']['source']} → {document['choices']['data']}"
            rules = {rule: 100 * entry["test/accuracy"] for rule, entry in document["metrics"].items()}
            run = {"run": document["id"], "rules": rules, "seconds": document["cost"]["seconds"]}
            name = document["choices"]["experiment"].removeprefix("digits_")
            found[name, way][document["config"]["seed"]] = run
    return found


def as_committed(document: dict[str, Any]) -> bool:
    """A run of these experiments as their files are now; trials with other settings do not count."""
    config, choices = document["config"], document["choices"]
    name = str(choices.get("experiment"))
    if not name.startswith("digits_"):
        return False
    now = settings(name, choices["source"], choices["data"])
    return all(config.get(node) == now[node] for node in ("trainer", "pretrain", "align", "oracle")) and all(
        config[side]["augment"] == now[side]["augment"] for side in ("data", "source")
    )


@cache
def settings(name: str, source: str, data: str) -> dict[str, Any]:
    """What the experiment says today."""
    return dict(load([f"experiment={name}", f"source={source}", f"data={data}"]).values)


def table(found: Found, validator: str) -> list[str]:
    head = [f"{way}: final | {validator} | oracle | published" for way in WAYS]
    lines = ["| method | " + " | ".join(head) + " | n | time a run |", "|---|" + "---:|" * 8 + "---:|---:|"]
    for name, published in PUBLISHED.items():
        each = [found.get((name, way), {}) for way in WAYS]
        if not any(each):
            continue
        cells = [
            cell for runs, figure in zip(each, published, strict=True) for cell in columns(runs, validator, figure)
        ]
        seconds = [run["seconds"] for runs in each for run in runs.values()]
        n = " / ".join(str(len(runs)) for runs in each)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {n} | {statistics.mean(seconds) / 60:.1f} min |")
    return lines


def columns(runs: dict[int, dict[str, Any]], validator: str, published: float | None) -> Iterator[str]:
    for rule in ("final", validator, "oracle"):
        values = [shown for run in runs.values() if (shown := of_rule(run["rules"], rule)) is not None]
        yield f"({spread(values)})" if rule == "oracle" and values else spread(values)
    yield "–" if published is None else f"{published}"


def of_rule(rules: dict[str, float], rule: str) -> float | None:
    """A net that saw no target rows has no label-free choice: its only one stands in."""
    return rules.get(rule, rules.get("source_val") if rule == "final" else None)


def spread(values: list[float]) -> str:
    """Mean, and half its 95 % t interval."""
    if not values:
        return "–"
    if len(values) < 2:
        return f"{values[0]:.1f}"
    interval = t_interval(values)
    return f"{interval.value:.1f} ±{interval.half:.1f}"


def validators(found: Found) -> list[tuple[str, float, float, int]]:
    """(rule, mean points lost against the oracle, most lost, runs), the best first."""
    rows = []
    for rule in ("final", "source_val", *LABEL_FREE):
        gaps = [
            r["oracle"] - r[rule] for each in found.values() for r in rules_of(each) if rule in r and "entropy" in r
        ]
        if gaps:
            rows.append((rule, statistics.mean(gaps), max(gaps), len(gaps)))
    label_free = [row for row in rows if row[0] in LABEL_FREE]
    return sorted(label_free, key=lambda row: row[1]) + [row for row in rows if row[0] not in LABEL_FREE]


def rules_of(each: dict[int, dict[str, Any]]) -> list[dict[str, float]]:
    return [run["rules"] for run in each.values()]


def lost(best: list[tuple[str, float, float, int]], found: Found) -> list[str]:
    lines = ["| rule | points lost against the oracle, mean | most | runs |", "|---|---:|---:|---:|"]
    ordered = sorted(best, key=lambda row: row[1])
    return lines + [f"| {rule} | {mean:.2f} | {most:.1f} | {n} |" for rule, mean, most, n in ordered]


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs"))
