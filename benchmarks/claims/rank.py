"""transfer rank over eight sources on three targets, and, with --runs, the linear probes, neighbours and fine-tunings
that its scores are held against. Writes results/rank_TARGET.md, rank_targets.json, and of all targets rank.md.

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
STRATEGIES = "linear_probe,knn,fine_tune"
SEEDS = "3"


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


def sweep(target: str, sources: list[tuple[str, ...]], seeds: str = SEEDS) -> None:
    """Every strategy from every source; an untaught net has a probe, and scratch for fine-tuning."""
    for source in sources:
        words = (*source, *TARGETS[target], *TRAINING, *TEACHING, LAST, "--seeds", seeds, "-q")
        if untaught(source):
            transfer("run", "strategy=linear_probe", "pretrain=none", *words, runs=begun("sweep"))
            transfer("run", "strategy=scratch", *words, runs=begun("sweep"))
        else:
            transfer("run", f"strategy={STRATEGIES}", *words, runs=begun("sweep"))


def rank(target: str, sources: list[tuple[str, ...]]) -> None:
    """results/rank_TARGET.md, and its document for rank_targets.json."""
    words = [*TARGETS[target], *TRAINING, *TEACHING]
    for source in sources:
        words += ["--candidate", " ".join(source)]
    text = transfer("rank", *words, "--format", "md", runs=begun("sweep"))
    (RESULTS / f"rank_{target}.md").write_text(text.replace(str(DATA), "$TRANSFER_DATA"))
    print(text)
    kept = RESULTS / "rank_targets.json"
    found = json.loads(kept.read_text()) if kept.is_file() else {}
    document = json.loads(transfer("rank", *words, "--json", runs=begun("sweep")).replace(str(DATA), "$TRANSFER_DATA"))
    kept.write_text(json.dumps({**found, target: document}, indent=1) + "\n")


def main(argv: list[str]) -> None:
    sources = [source for source in SOURCES if here(source)]
    targets = [name for name in argv if name in TARGETS] or list(TARGETS)
    if "--pretrain" in argv:
        pretrain(sources)
    for target in targets:
        if "--runs" in argv:
            sweep(target, sources)
        rank(target, sources)


if __name__ == "__main__":
    main(sys.argv[1:])
