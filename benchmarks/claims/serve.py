"""Makes a linear probe for ants and bees, serves it, and takes a picture of the page as a browser shows it after one
picture was given to it: results/serve.png.

TRANSFER_DATA=/path/to/data python benchmarks/claims/serve.py      (half a minute on two cores)"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from run import ANTS, COMMANDS

RESULT = Path(__file__).parents[1] / "results" / "serve.png"
PICTURE = ANTS / "val" / "ants" / "147542264_79506478c2.jpg"
TRANSFER = (sys.executable, "-m", "transfer_cli")
WIDTH = 1000


@contextmanager
def served(runs: str) -> Iterator[str]:
    """The address of a page for the last run, which ends as Ctrl-C ends it."""
    words = [*TRANSFER, "serve", "last", "--port", "0", "--json", "--runs", runs]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield json.loads(server.stdout.readline())["address"]
        finally:
            server.send_signal(signal.SIGINT)


def shot(address: str) -> bytes:
    """A PNG of the whole page with the answer to PICTURE."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"], timeout=120_000)
        page = browser.new_page(viewport={"width": WIDTH, "height": 400})
        page.goto(address)
        page.locator("#file").set_input_files(PICTURE, timeout=120_000)
        page.locator("#result figure").first.wait_for(timeout=120_000)
        return page.screenshot(full_page=True)


def main() -> None:
    kept = os.environ.get("TRANSFER_RUNS")
    with tempfile.TemporaryDirectory() as folder:
        runs = kept or folder
        subprocess.run([*TRANSFER, *COMMANDS["ants"].split()[1:], "-q", "--runs", runs], check=True)
        with served(runs) as address:
            stream = BytesIO()
            image = Image.open(BytesIO(shot(address))).convert("RGB")
            image.quantize(palette=image.quantize(256)).save(stream, "PNG", optimize=True)
    RESULT.write_bytes(stream.getvalue())
    print(f"serve.png  {len(stream.getvalue()):,} bytes")


if __name__ == "__main__":
    main()
