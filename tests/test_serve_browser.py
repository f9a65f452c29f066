"""The page of `transfer serve` in a real browser, headless: real files by the input and by drop, names and classes that
are attacks, at the width of a phone, light and dark; the console stays empty and nothing is asked of anyone else.
Skipped where no chromium or no playwright is installed."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from serving import LONG, a_run_of_pictures, a_run_of_texts, a_run_of_vectors, app_of, served

from transfer_cli.serve import asked

sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install 'transfer-cli[dev]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
# as root there is no sandbox; a container's /dev/shm may be small; what is on this machine is asked without a proxy
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-proxy-server"]
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1000, "height": 800}
EVIL = "<img src=x onerror=alert(1)>"
WIDE = "() => document.documentElement.scrollWidth - innerWidth"
TONES = """() => [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color,
  getComputedStyle(document.querySelector("figcaption") ?? document.body).color]
  .map(tone => tone.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 3)"""
DROP = """([name, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name));
  for (const kind of ["dragover", "drop"])
    document.body.dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


class View(NamedTuple):
    """A page of a browser; what it wrote to its console, and addresses it asked that are not the server's."""

    page: Any
    console: list[str]
    strange: list[str]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("browser")


@pytest.fixture(scope="module")
def addresses(root: Path) -> Iterator[dict[str, str]]:
    """Of a page a kind of run; a class of the pictures has a name that is an attack."""
    names = {
        "pictures": a_run_of_pictures(root, "cat", EVIL),
        "texts": a_run_of_texts(root),
        "vectors": a_run_of_vectors(root),
    }
    with (
        served(lambda port: app_of(root, names["pictures"], port)) as pictures,
        served(lambda port: app_of(root, names["texts"], port)) as texts,
        served(lambda port: app_of(root, names["vectors"], port)) as vectors,
    ):
        yield {"pictures": pictures, "texts": texts, "vectors": vectors}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # ended with the tests of this file: while it lives, this thread has a running event loop
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=1000 * LONG)
        yield opened
        opened.close()


@pytest.fixture
def view(browser: Any, request: pytest.FixtureRequest) -> Iterator[View]:
    """An empty page; whatever a test did with it, the console stayed empty and nobody else was asked."""
    context = browser.new_context(**{"viewport": DESK, **getattr(request, "param", {})})
    context.set_default_timeout(1000 * LONG)
    seen = View(context.new_page(), [], [])
    seen.page.on("console", lambda line: seen.console.append(line.text))
    seen.page.on("pageerror", lambda error: seen.console.append(str(error)))
    seen.page.on("dialog", lambda dialog: (seen.console.append(f"dialog {dialog.message}"), dialog.dismiss()))
    seen.page.on("request", lambda asked: seen.strange.append(asked.url))
    yield seen
    local = ("http://127.0.0.1:", "blob:http://127.0.0.1:", "data:")
    console, strange = seen.console, [url for url in seen.strange if not url.startswith(local)]
    context.close()
    assert (console, strange) == ([], [])


def opened(view: View, address: str) -> Any:
    view.page.goto(address)
    view.page.locator(".ask:visible").wait_for()
    return view.page


def a_picture(root: Path, name: str = "00.png") -> Path:
    """A copy of a test picture of the evil class, by another name."""
    path = root / name
    shutil.copy(root / "pics" / "test" / EVIL / "00.png", path)
    return path


@pytest.mark.parametrize("view", [{}, {"viewport": PHONE}, {"color_scheme": "dark"}], indirect=True, ids=str)
def test_a_picture_is_chosen_answered_and_explained(view: View, root: Path, addresses: dict[str, str]) -> None:
    page = opened(view, addresses["pictures"])
    assert page.get_by_role("heading").inner_text() == "scratch, pics"
    page.get_by_label("A picture").set_input_files(a_picture(root, "<b>bold 'é\".png"))
    page.locator("#result figure").nth(1).wait_for()
    assert page.get_by_role("status").inner_text().startswith(f"<b>bold 'é\".png: {EVIL}, ")
    assert page.locator(".chances dt").all_inner_texts() == [EVIL, "cat"]
    shares = [
        float(text.removesuffix(" %")) for text in page.locator(".chances dd:last-of-type, .bar + dd").all_inner_texts()
    ]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    sizes = page.locator("#result img").evaluate_all(
        "all => Promise.all(all.map(i => i.decode().then(() => i.naturalWidth)))"
    )
    assert sizes[0] == 12  # the picture as it was sent
    assert min(sizes[1:]) >= 256  # its drawings
    assert "Without the marked 20 % its probability goes from " in page.locator("figcaption").nth(1).inner_text()
    assert page.locator("main b b, main img[src='x']").count() == 0
    assert page.evaluate(WIDE) <= 0
    paper, ink, soft = page.evaluate(TONES)
    dark = page.evaluate("() => matchMedia('(prefers-color-scheme: dark)').matches")
    assert (paper < 60 and ink > 200 and soft > 140) if dark else (paper > 240 and ink < 60 and soft < 110)


def test_a_picture_is_dropped_and_the_newest_counts(view: View, root: Path, addresses: dict[str, str]) -> None:
    page = opened(view, addresses["pictures"])
    for name in ("first.png", "second.png"):
        page.evaluate(DROP, [name, list(a_picture(root).read_bytes())])
    page.get_by_text("second.png: ").wait_for()
    page.locator("#result figure").nth(1).wait_for()
    assert page.get_by_text("first.png: ").count() == 0
    assert page.url == f"{addresses['pictures']}/"  # the browser did not leave for the file


def test_what_is_no_picture_is_said(
    view: View, root: Path, addresses: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened(view, addresses["pictures"])
    alert, choose = page.get_by_role("alert"), page.get_by_label("A picture").set_input_files
    page.evaluate(
        "() => document.body.dispatchEvent(new DragEvent('drop', {dataTransfer: new DataTransfer(), bubbles: true}))"
    )
    assert alert.inner_text().startswith("This was no file.")
    (root / "empty.png").write_bytes(b"")
    choose(root / "empty.png")
    assert alert.inner_text() == "empty.png is empty."
    with (root / "large.png").open("wb") as file:
        file.truncate(asked.MOST_BYTES + 1)
    choose(root / "large.png")
    assert alert.inner_text() == "large.png is larger than 32 MB."
    choose(a_picture(root))  # a good one takes the message away
    page.locator("#result figure").nth(1).wait_for()
    assert alert.inner_text() == ""
    assert view.console == []
    (root / "x.html.png").write_text(f"<script>alert(1)</script>{EVIL}")
    choose(root / "x.html.png")
    page.get_by_text("x.html.png: no PNG, JPEG, BMP or WebP picture").wait_for()
    assert not page.locator("#result").is_visible()
    # chromium notes every answer that is an error
    assert [line for line in view.console if "422" not in line] == []
    view.console.clear()


def test_a_text_is_weighed(view: View, addresses: dict[str, str]) -> None:
    page = opened(view, addresses["texts"])
    text = f"happy item {EVIL} " + "number " * 20
    page.get_by_label("A text").fill(text)
    page.get_by_label("A text").press("Control+Enter")
    page.locator(".words.card").first.wait_for()
    assert page.locator(".words.card").first.text_content() == text
    assert page.locator(".words .for").count() >= 1
    assert text.endswith(page.locator(".words .unread").first.text_content())
    assert page.locator("main img").count() == 0
    assert page.get_by_text("Struck out: the net reads no further.").first.is_visible()
    page.get_by_label("A text").fill("  ")
    page.get_by_role("button", name="Ask").click()
    assert page.get_by_role("alert").inner_text() == "The text is empty."


def test_numbers_get_their_class(view: View, addresses: dict[str, str]) -> None:
    page = opened(view, addresses["vectors"])
    numbers, button = page.get_by_label("A row of numbers"), page.get_by_role("button", name="Ask")
    numbers.fill("4, 4.2\n3.9")
    button.click()
    page.get_by_text("the numbers: high").wait_for()
    assert "reads numbers" in page.get_by_text("No reasons: ").inner_text()
    numbers.fill("4, x")
    button.click()
    assert page.get_by_role("alert").inner_text() == "x is no number."


def test_everything_works_by_keyboard(view: View, addresses: dict[str, str]) -> None:
    page = opened(view, addresses["pictures"])
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.id") == "file"
    with page.expect_file_chooser():
        page.keyboard.press("Space")


def test_a_server_that_is_gone_is_said(view: View, root: Path) -> None:
    with served(lambda port: app_of(root, "last", port)) as address:
        page = opened(view, address)
    page.get_by_label("A row of numbers").fill("1 2 3")
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("The server does not answer. Is `transfer serve` still running?").wait_for()
    assert [line for line in view.console if "ERR_CONNECTION_REFUSED" not in line] == []
    view.console.clear()


def test_another_page_cannot_ask(view: View, root: Path, addresses: dict[str, str]) -> None:
    """From the page of another run, which is another origin: the request is refused, its answer cannot be read."""
    page = opened(view, addresses["texts"])
    ask = "url => fetch(url, {method: 'POST', mode: 'no-cors', body: 'x'}).then(r => r.type, e => 'stopped')"
    assert page.evaluate(ask, addresses["pictures"] + "/predict") == "stopped"
    assert view.console != []  # the policy of the page itself, which says so
    view.console.clear()
    view.strange.clear()
