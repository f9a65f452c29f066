"""Makes runs, a page of them with `transfer report`, and pictures of the page as a desk and a phone show it, by a
headless chromium: results/report-desktop.png and report-phone.png.

TRANSFER_DATA=/path/to/data python benchmarks/claims/screenshots.py      (three minutes on two cores)"""

import os
import shutil
import subprocess
import sys
import tempfile
from html import escape
from io import BytesIO
from pathlib import Path

from PIL import Image

RESULTS = Path(__file__).parents[1] / "results"
WORDS = "strategy=scratch,linear_probe,fine_tune source=mnist data=digits data.shots=5 --seeds 3"
FEW = "pretrain.trainer.steps=300 trainer.steps=100"
SIZES = {"desktop": (1120, 2780), "phone": (390, 1560)}


def transfer(*words: str) -> None:
    """Raises CalledProcessError if the command fails."""
    subprocess.run([sys.executable, "-m", "transfer_cli", *words], check=True)


def shot(page: Path, width: int, height: int, folder: Path) -> bytes:
    """A PNG of the top of the page; in a frame, for a headless window cannot be as narrow as a phone."""
    frame = f'<iframe srcdoc="{escape(page.read_text("utf-8"))}" style="width:{width}px;height:{height}px;border:0">'
    outer, out = folder / "outer.html", folder / "shot.png"
    outer.write_text(f'<!doctype html><meta charset="utf-8"><body style="margin:0">{frame}</iframe></body>', "utf-8")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--user-data-dir={folder / 'profile'}", f"--window-size={max(width, 600)},{height + 100}",
            f"--screenshot={out}", outer.as_uri(),
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    image = Image.open(out).convert("RGB").crop((0, 0, width, height))
    stream = BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def main() -> None:
    runs = os.environ.get("TRANSFER_RUNS")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        where = runs or str(folder / "runs")
        transfer("run", *WORDS.split(), *FEW.split(), "--runs", where)
        transfer("report", "last", "--runs", where, "-o", str(folder / "page.html"))
        for size, (width, height) in SIZES.items():
            data = shot(folder / "page.html", width, height, folder)
            (RESULTS / f"report-{size}.png").write_bytes(data)
            print(f"report-{size}.png  {len(data):,} bytes")


if __name__ == "__main__":
    main()
