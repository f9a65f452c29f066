"""transfer rank over eight sources on three targets, and, with --runs, the linear probes and fine-tunings that its
scores are held against. Writes results/rank_TARGET.md and rank.json.

TRANSFER_DATA=/path/to/data python benchmarks/claims/rank.py [--pretrain] [--runs] [TARGET ...]
--pretrain teaches the nets of the sources first (once for all targets); --runs takes hours on two cores; without either
the tables are made from what is there."""

import json
import os
import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "results"
TRANSFER = Path(sys.executable).with_name("transfer")
DATA = Path(os.environ.get("TRANSFER_DATA", ""))
RESNET20 = DATA / "weights" / "akamaster_pytorch_resnet_cifar10" / "resnet20-12fca82f.th"
SQUEEZENET = DATA / "weights" / "songhan_SqueezeNet-Deep-Compression" / "squeezenet1_0_deepcomp_torchvision_keys.pth"
TARGETS = {
    "hymenoptera": (f"data={DATA / 'hymenoptera_data'}",),
    "usps": ("data=usps", "data.shots=20"),
    "pneumonia": ("data=medmnist",),
}
TAUGHT = ("mnist", "fashion_mnist", "kmnist", "digits")  # kmnist: if its training part is there
SOURCES = (
    ("model=lenet", "source=none"),
    *(("model=lenet", f"source={name}") for name in TAUGHT),
    ("model=resnet20", f"weights={RESNET20}"),
    ("model=squeezenet1_0", f"weights={SQUEEZENET}"),
    ("model=resnet20", "source=none"),
)
TRAINING = ("trainer.steps=400", "trainer.batch=32", "pretrain.trainer.steps=1500", "pretrain.trainer.batch=128")
STRATEGIES = "linear_probe,fine_tune"
SEEDS = "3"


def transfer(*words: str) -> str:
    """What the command prints."""
    done = run(*words)
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


def pretrain(sources: list[tuple[str, ...]]) -> None:
    """A probe on the smallest target teaches the net of every source; other targets find it in the store."""
    for model, source in sources:
        if source.startswith("source=") and source != "source=none":
            transfer("run", "strategy=linear_probe", model, source, *TARGETS["usps"], *TRAINING, "-q")


def sweep(target: str, sources: list[tuple[str, ...]]) -> None:
    """Every strategy from every source; an untaught net has a probe, and scratch for fine-tuning."""
    for model, start in sources:
        words = (model, *TARGETS[target], *TRAINING, "--seeds", SEEDS, "-q")
        if start == "source=none":
            transfer("run", "strategy=linear_probe", "source=none", "pretrain=none", *words)
            transfer("run", "strategy=scratch", *words)
        else:
            transfer("run", f"strategy={STRATEGIES}", start, *words)


def rank(target: str, sources: list[tuple[str, ...]]) -> None:
    """results/rank_TARGET.md, and its document for rank.json."""
    words = [*TARGETS[target], *TRAINING]
    for source in sources:
        words += ["--candidate", " ".join(source)]
    text = transfer("rank", *words, "--format", "md")
    (RESULTS / f"rank_{target}.md").write_text(text.replace(str(DATA), "$TRANSFER_DATA"))
    print(text)
    kept = RESULTS / "rank.json"
    found = json.loads(kept.read_text()) if kept.is_file() else {}
    document = json.loads(transfer("rank", *words, "--json").replace(str(DATA), "$TRANSFER_DATA"))
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
