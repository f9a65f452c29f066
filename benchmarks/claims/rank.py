"""transfer rank over eight sources on three targets, and, with --runs, the linear probes, neighbours and fine-tunings
that its scores are held against. Writes results/rank.md and rank_targets.json.

TRANSFER_DATA=/path/to/data python benchmarks/claims/rank.py [--pretrain] [--runs] [TARGET ...]
--pretrain teaches the nets of the sources first (once for all targets) into the folder TRANSFER_RUNS; --runs computes,
an hour on one core, in a copy of that folder named TRANSFER_RUNS-sweep; without either the tables are made from what is
there."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"
TRANSFER = Path(sys.executable).with_name("transfer")
DATA = Path(os.environ.get("TRANSFER_DATA", ""))
RUNS = Path(os.environ.get("TRANSFER_RUNS", "runs"))
RESNET20 = DATA / "weights" / "akamaster_pytorch_resnet_cifar10" / "resnet20-12fca82f.th"
SQUEEZENET = DATA / "weights" / "songhan_SqueezeNet-Deep-Compression" / "squeezenet1_0_deepcomp_torchvision_keys.pth"
TARGETS = {
    "hymenoptera": (f"data={DATA / 'hymenoptera_data'}",),
    "usps": ("data=usps", "data.shots=20"),
    "pneumonia": ("data=medmnist",),
}
TAUGHT = ("mnist", "fashion_mnist", "kmnist", "digits")
SOURCES = (
    ("model=lenet", "source=none"),
    *(("model=lenet", f"source={name}") for name in TAUGHT),
    ("model=resnet20", f"weights={RESNET20}"),
    # an eighth of the pixels that it was taught with, and of the time
    ("model=squeezenet1_0", f"weights={SQUEEZENET}", "model.input.size=96", "model.input.crop=80"),
    ("model=resnet20", "source=none"),
)
TRAINING = ("trainer.steps=100", "trainer.batch=32", "trainer.clip=1.0")  # SqueezeNet's features are large
TEACHING = ("pretrain.trainer.steps=1500", "pretrain.trainer.batch=128")
LAST = "fine_tune.trainer.validations=0"  # the last step counts, so nobody need look on the way
STRATEGIES = ("linear_probe", "knn", "fine_tune")
SEEDS = "3"
TAUS = {
    "logme": "LogME", "h_score_shrunk": "H shrunk", "h_score": "H-score", "probe": "probe", "nearest": "1-NN",
    "leep": "LEEP", "nce": "NCE", "transrate": "TransRate",
}  # fmt: skip


def transfer(*words: str, runs: Path) -> str:
    """What the command prints."""
    done = run(*words, "--runs", str(runs))
    if done.returncode:
        sys.exit(f"transfer {' '.join(words)} [{done.returncode}]\n{done.stderr}")
    return done.stdout


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([TRANSFER, *words], capture_output=True, text=True, env=os.environ, check=False)


def here(source: tuple[str, ...]) -> bool:
    """Whether the data set or the file of a source is on this machine."""
    value = source[1].partition("=")[2]
    if source[1].startswith("weights="):
        return Path(value).is_file()
    return value == "none" or run("show", "strategy=scratch", f"data={value}").returncode == 0


def untaught(source: tuple[str, ...]) -> bool:
    return "source=none" in source


def begun(name: str) -> Path:
    """A folder of runs of its own that begins with the taught nets: nothing else is found there."""
    folder = RUNS.parent / f"{RUNS.name}-{name}"
    if not folder.exists() and RUNS.exists():
        shutil.copytree(RUNS, folder, symlinks=True)
    return folder


def pretrain(sources: list[tuple[str, ...]]) -> None:
    """A probe on one picture a class of data that are no target here teaches the net of every source."""
    for source in sources:
        if source[1].startswith("source=") and not untaught(source):
            words = (*source, "data=cifar10", "data.shots=1", *TRAINING, *TEACHING)
            transfer("run", "strategy=linear_probe", *words, "-q", runs=RUNS)


def sweep(target: str, sources: list[tuple[str, ...]], seeds: str) -> dict[str, list[dict[str, Any]]]:
    """results.json of the runs of every source and strategy, by their words; an untaught net has a probe, and scratch
    for fine-tuning. What is there is not computed again."""
    found: dict[str, list[dict[str, Any]]] = {}
    runs = begun("sweep")
    for source in sources:
        every = (("linear_probe", "pretrain=none"), ("scratch",)) if untaught(source) else ((",".join(STRATEGIES),),)
        for strategies, *more in every:
            words = (f"strategy={strategies}", *source, *TARGETS[target], *TRAINING, *TEACHING, LAST, *more)
            ledger = json.loads(transfer("run", *words, "--seeds", seeds, "--json", runs=runs))
            for row in ledger["runs"]:
                strategy = row["words"][0].removeprefix("strategy=")
                done = json.loads((runs / row["path"] / "results.json").read_text())
                found.setdefault(" ".join([strategy, *source]), []).append(done)
    return found


def rank(target: str, sources: list[tuple[str, ...]]) -> dict[str, Any]:
    """The document of the ranking."""
    words = [*TARGETS[target], *TRAINING, *TEACHING]
    for source in sources:
        words += ["--candidate", " ".join(source)]
    document = transfer("rank", *words, "--json", runs=begun("sweep")).replace(str(DATA), "$TRANSFER_DATA")
    return dict(json.loads(document))


def summary(found: dict[str, dict[str, Any]]) -> str:
    """Of every target the scores beside what probes and fine-tuning reached; then how well every score foresaw it."""
    return "\n\n".join([*(_scores(target, each) for target, each in found.items()), _taus(found)]) + "\n"


def _scores(target: str, document: dict[str, Any]) -> str:
    accuracy = {(each["strategy"], each["source_model"]): each["value"] for each in document["reached"]}
    lines = [
        f"| {target} | LogME | shuffled labels | verdict | probe, cross-validated % | linear_probe, test % |"
        " fine_tune, test % |",
        "|---|---:|---:|---|---:|---:|---:|",
    ]
    for row in document["rows"]:
        name = row["source_model"]
        reached = [accuracy.get((strategy, name)) for strategy in ("linear_probe", "fine_tune")]
        cells = [
            name,
            f"{row['logme']:.2f} ±{(row['logme_hi'] - row['logme_lo']) / 2:.2f}",
            f"{row['logme_shuffled_lo']:.2f} to {row['logme_shuffled_hi']:.2f}",
            row["verdict"],
            f"{100 * row['probe']:.1f}",
            *("" if value is None else f"{100 * value:.1f}" for value in reached),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _taus(found: dict[str, dict[str, Any]]) -> str:
    lines = [
        f"| weighted Kendall tau | {' | '.join(TAUS.values())} | the best |",
        f"|---|{'---:|' * len(TAUS)}---|",
    ]
    for target, document in found.items():
        for row in document["tau"]:
            strategy = row["strategy"].split()[0]
            if strategy in ("linear_probe", "fine_tune"):
                taus = ["–" if row[name] is None else f"{row[name]:.2f}" for name in TAUS]
                lines.append(f"| {target}, {strategy}, {row['n']} sources | {' | '.join(taus)} | {row['best']} |")
    return "\n".join(lines)


def main(argv: list[str]) -> None:
    sources, kept = [source for source in SOURCES if here(source)], RESULTS / "rank_targets.json"
    if "--pretrain" in argv:
        pretrain(sources)
    for target in [name for name in argv if name in TARGETS] or TARGETS:
        if "--runs" in argv:
            sweep(target, sources, SEEDS)
        found = json.loads(kept.read_text()) if kept.is_file() else {}
        found[target] = rank(target, sources)
        kept.write_text(json.dumps(found, indent=1) + "\n")
        (RESULTS / "rank.md").write_text(summary(found))
        print(summary({target: found[target]}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
