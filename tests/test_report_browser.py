"""The page in a real browser, headless: nothing overflows at the width of a phone or a desk, light and dark differ and
can be read, names that are attacks do nothing, the console stays empty. Skipped where no chromium is installed."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hostile import hostile_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
PHONE, DESK = 360, 1280
LOOK = """
onload = () => {
  const frame = document.querySelector("iframe"), page = frame.contentDocument, view = frame.contentWindow;
  const scrolls = e => ["auto", "hidden"].includes(view.getComputedStyle(e).overflowX);
  const inBox = e => { for (; e; e = e.parentElement) if (scrolls(e)) return true };
  const over = e => e.getBoundingClientRect().right > view.innerWidth + 1;
  const wide = [...page.body.querySelectorAll("*")].filter(e => over(e) && !inBox(e));
  const body = view.getComputedStyle(page.body), rgb = text => text.match(/\\d+/g).slice(0, 3).map(Number);
  const seen = {
    view: view.innerWidth, width: page.documentElement.scrollWidth, wide: wide.map(e => e.outerHTML.slice(0, 80)),
    paper: rgb(body.backgroundColor), ink: rgb(body.color), title: view.pwned || page.querySelector("h1").innerText,
    scripts: page.scripts.length, charts: page.querySelectorAll("svg.chart").length,
    small: Math.min(...[...page.querySelectorAll("svg.chart text")].map(e => e.getBoundingClientRect().height)),
    pictures: [...page.images].filter(i => !i.complete || !i.naturalWidth).length,
    fetched: view.performance.getEntriesByType("resource").map(r => r.name).filter(n => !n.startsWith("data:")),
  };
  document.body.dataset.seen = JSON.stringify(seen);
};
"""


class Look(NamedTuple):
    """What a browser saw of a page, and what it wrote to its console."""

    seen: dict[str, Any]
    console: list[str]


def look(html: str, width: int, folder: Path, *, dark: bool = False) -> Look:
    """Opens a page as it is in a frame `width` pixels wide (a headless window cannot be as narrow as a phone)."""
    frame = f'<iframe srcdoc="{escape(html)}" style="width:{width}px;height:2000px;border:0"></iframe>'
    outer = folder / "outer.html"
    outer.write_text(f"<!doctype html><meta charset=utf-8><script>{LOOK}</script><body>{frame}</body>", "utf-8")
    argv = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
        f"--user-data-dir={folder / 'profile'}", f"--blink-settings=preferredColorScheme={0 if dark else 1}",
        "--window-size=1400,2100", "--dump-dom", outer.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    seen = re.search(r'data-seen="([^"]*)"', done.stdout)
    assert seen, done.stderr[-2000:]
    return Look(json.loads(unescape(seen[1])), [line for line in done.stderr.splitlines() if "CONSOLE" in line])


@pytest.mark.parametrize(("width", "dark"), [(PHONE, False), (PHONE, True), (DESK, False)])
def test_the_page_holds_in_a_browser(width: int, dark: bool, tmp_path: Path, monkeypatch: Any) -> None:
    html = hostile_page(monkeypatch).replace("<details>", "<details open>")
    seen, console = look(html, width, tmp_path, dark=dark)
    assert console == []
    assert (seen["view"], seen["wide"]) == (width, [])
    assert seen["width"] <= width
    assert (seen["scripts"], seen["fetched"]) == (0, [])
    assert seen["title"].startswith("fine_tune<script>")
    assert seen["charts"] >= 4
    assert seen["small"] >= 11  # letters of a chart, in pixels
    paper, ink = sum(seen["paper"]) / 3, sum(seen["ink"]) / 3
    assert (paper < 60 and ink > 200) if dark else (paper > 240 and ink < 60)


def test_the_look_finds_what_it_looks_for(tmp_path: Path, monkeypatch: Any) -> None:
    """The same page, broken on purpose: a wide element, a script that the policy must stop, a picture from outside."""
    bad = (
        '<div style="width:900px">x</div><script>parent.x = pwned = "yes"</script><img src="https://localhost:1/x.png">'
    )
    seen, console = look(hostile_page(monkeypatch).replace("</main>", f"{bad}</main>"), PHONE, tmp_path)
    assert seen["width"] > 900
    assert any("900px" in found for found in seen["wide"])
    assert seen["title"] != "yes"
    assert any("Content Security Policy" in line and "script" in line for line in console)
    assert any("img-src" in line for line in console)
