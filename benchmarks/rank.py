"""transfer rank on kept features against its own cost without them (an untaught SqueezeNet, 80 made-up pictures of 224
px), and LogME and H-score against plain implementations on 10,000 x 512 features, 100 classes. Goals: 0.8; 1.
`--tiny` is a rehearsal on 200 x 16 that writes nothing."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure.turns import Pair, installed, report, turns
from PIL import Image

from transfer_cli.transferability.h_score import h_score
from transfer_cli.transferability.logme import logme

KEPT, ANEW = "transfer rank, features kept", "transfer rank, features computed"
PICTURES, SIDE = 40, 256  # of each of two classes


def main(tiny: bool) -> None:
    rows, features, classes, pictures, rounds = (200, 16, 5, 4, 1) if tiny else (10_000, 512, 100, PICTURES, 5)
    x, labels = made_up(rows, features, classes)
    contestants: dict[str, Any] = {
        "LogME": lambda: logme(x, labels),
        "LogME, plain": lambda: plain_logme(x.double().numpy(), labels.numpy()),
        "H-score": lambda: h_score(x, labels),
        "H-score, plain": lambda: plain_h_score(x.double().numpy(), labels.numpy()),
    }
    agree(contestants)
    scores = turns(contestants, rounds=rounds)
    with tempfile.TemporaryDirectory() as folder:
        command = turns(commands(Path(folder), pictures, "mlp" if tiny else "squeezenet1_0"), rounds=rounds)
    of_scores = [Pair("LogME", "LogME, plain", most=1.0), Pair("H-score", "H-score, plain", most=1.0)]
    groups = {"scores": scores, "whole processes": command}
    if tiny:
        print({name: round(min(each), 4) for taken in groups.values() for name, each in taken.items()})
    else:
        report("rank", groups, {"scores": of_scores, "whole processes": [Pair(KEPT, ANEW, most=0.8)]})


def made_up(rows: int, features: int, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features float32 around class means, with axes of falling length as those of nets have."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(rows) % classes
    means = torch.randn(classes, features, generator=draw)
    length = torch.arange(1, features + 1).float().pow(-0.5)
    return (means[labels] + torch.randn(rows, features, generator=draw)) * length, labels


def agree(contestants: dict[str, Any]) -> None:
    """Raises ValueError if ours is another number."""
    for name in ("LogME", "H-score"):
        ours, plain = float(contestants[name]()), float(contestants[f"{name}, plain"]())
        if abs(ours - plain) > 1e-4 * abs(plain):
            raise ValueError(f"{name}: {ours}, plain {plain}")


def plain_logme(f: np.ndarray, labels: np.ndarray) -> float:
    """The papers' loop: a singular value decomposition, then alpha and beta of one class after the other."""
    n, d = f.shape
    u, s, vt = np.linalg.svd(f, full_matrices=False)
    sigma, total = s**2, 0.0
    for c in np.unique(labels):
        y = (labels == c).astype(float)
        along = u.T @ y
        alpha = beta = 1.0
        ratio = 0.0
        while abs(alpha / beta - ratio) > 1e-6 * ratio:
            ratio = alpha / beta
            gamma = (sigma / (sigma + ratio)).sum()
            m = vt.T @ (s * along / (sigma + ratio))
            residual = ((f @ m - y) ** 2).sum()
            alpha, beta = gamma / (m @ m), (n - gamma) / residual
        evidence = n / 2 * np.log(beta) + d / 2 * np.log(alpha) - n / 2 * np.log(2 * np.pi)
        evidence -= beta / 2 * residual + alpha / 2 * (m @ m) + np.log(alpha + beta * sigma).sum() / 2
        total += evidence / n
    return total / len(np.unique(labels))


def plain_h_score(f: np.ndarray, labels: np.ndarray) -> float:
    """The definition: both covariances, a pseudo-inverse, a trace."""
    between = np.zeros_like(f)
    for c in np.unique(labels):
        between[labels == c] = f[labels == c].mean(0)
    return float(np.trace(np.linalg.pinv(np.cov(f, rowvar=False)) @ np.cov(between, rowvar=False)))


def commands(folder: Path, pictures: int, model: str) -> dict[str, Any]:
    """The command with its feature cache as it was, and with all features of it removed before."""
    draw = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in ("one", "two"):
            (folder / "pictures" / part / name).mkdir(parents=True)
            for number in range(pictures):
                pixels = draw.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / "pictures" / part / name / f"{number}.png")
    runs = {KEPT: folder / "kept", ANEW: folder / "anew"}

    def rank(place: Path) -> None:
        words = [str(folder / "pictures"), f"model={model}", "--runs", str(place), "-q"]
        subprocess.run([installed("transfer"), "rank", *words], check=True, capture_output=True)

    def anew() -> None:
        for file in (runs[ANEW] / ".cache").rglob("*.npy"):
            file.unlink()
        rank(runs[ANEW])

    return {KEPT: lambda: rank(runs[KEPT]), ANEW: anew}


if __name__ == "__main__":
    main("--tiny" in sys.argv[1:])
