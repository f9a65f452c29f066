"""Leave-one-domain-out on the PACS subset, from the run directories: accuracy on the domain that was not learned, its
mean over the four, and whether a method differs from erm.

First the runs (under an hour on two cores; what is stored is not trained again), then the table:
  transfer run experiment=pacs_dg strategy=erm,coral_dg,mixstyle,irm,groupdro --seeds 3 \\
    data.domain=art_painting,cartoon,photo,sketch weights=SQUEEZENET
  python benchmarks/claims/pacs.py [RUNS]"""

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from transfer_cli.analysis.significance import holm, paired
from transfer_cli.analysis.statistics import mean, t_interval
from transfer_cli.config.compose import load

RESULTS = Path(__file__).parents[1] / "results"
METHODS = ("erm", "coral_dg", "mixstyle", "irm", "groupdro")
DOMAINS = ("art_painting", "cartoon", "photo", "sketch")
RULE = "source_val"
Found = dict[str, dict[str, dict[int, float]]]  # accuracy in % by method, domain and seed


def main(runs: Path) -> None:
    documents = list(newest(runs).values())
    if not documents:
        sys.exit(f"{runs}: no finished run of experiment=pacs_dg; the words of the runs are in this script")
    found: Found = defaultdict(lambda: defaultdict(dict))
    for document in documents:
        method, domain = document["choices"]["strategy"], document["config"]["data"]["domain"]
        found[method][domain][document["config"]["seed"]] = 100 * document["metrics"][RULE]["test/accuracy"]
    seconds = mean([document["cost"]["seconds"] for document in documents])
    text = "\n".join([*table(found), "", f"Rule {RULE}; {seconds:.0f} s a run."]) + "\n"
    (RESULTS / "pacs.md").write_text(text)
    (RESULTS / "pacs.json").write_text(
        json.dumps({"rule": RULE, "accuracy": found, "seconds": seconds}, indent=1) + "\n"
    )
    print(text)


def newest(runs: Path) -> dict[tuple[Any, ...], dict[str, Any]]:
    """results.json of the newest run of every method, domain and seed with the settings of today."""
    trainer, found = load(["experiment=pacs_dg"]).values["trainer"], {}
    for path in sorted(runs.glob("*-*/*/results.json"), key=lambda path: path.parent.name):
        document = json.loads(path.read_bytes())
        choices, config = document["choices"], document["config"]
        if choices.get("experiment") == "pacs_dg" and document["status"] == "done" and config["trainer"] == trainer:
            found[choices["strategy"], config["data"]["domain"], config["seed"]] = document
    return found


def table(found: Found) -> list[str]:
    tests = {
        name: paired(list(differences(found, name).values())) for name in METHODS[1:] if len(shared(found, name)) > 1
    }
    p = dict(zip(tests, holm([test.p for test in tests.values()])))
    lines = [
        "| method | " + " | ".join(DOMAINS) + " | mean of the four | against erm, p Holm | n |",
        "|---|" + "---:|" * 7,
    ]
    for name in METHODS:
        cells = [spread(list(found[name][domain].values())) for domain in DOMAINS]
        test = tests.get(name)
        against = f"{test.delta.value:+.1f} ±{test.delta.half:.1f}, {p[name]:.2f}" if test else "–"
        cells += [spread(list(means(found, name).values())), against, str(len(means(found, name)))]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def means(found: Found, name: str) -> dict[int, float]:
    """Of the four domains, by seed; seeds that have all four."""
    seeds = set.intersection(*(set(found[name][domain]) for domain in DOMAINS))
    return {seed: mean([found[name][domain][seed] for domain in DOMAINS]) for seed in sorted(seeds)}


def shared(found: Found, name: str) -> list[int]:
    return sorted(set(means(found, name)) & set(means(found, METHODS[0])))


def differences(found: Found, name: str) -> dict[int, float]:
    """Points of the means over domains, seed by seed."""
    mine, base = means(found, name), means(found, METHODS[0])
    return {seed: mine[seed] - base[seed] for seed in shared(found, name)}


def spread(values: list[float]) -> str:
    """Mean, and half its 95 % t interval."""
    if len(values) < 2:
        return f"{values[0]:.1f}" if values else "–"
    return f"{mean(values):.1f} ±{t_interval(values).half:.1f}"


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs"))
