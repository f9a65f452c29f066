"""The HTML page: text stays text, nothing outside is referred to, what is missing is said."""

import json
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from conftest import Told
from hostile import EVIL, QUOTED, hostile_page, material
from madeup import place, run, seeds

from transfer_cli.analysis.statistics import Interval
from transfer_cli.report.page import again, mistakes, page
from transfer_cli.report.page.chart import Axis, Curve, Point, lines, spanned
from transfer_cli.report.page.finding import sentence
from transfer_cli.report.page.markup import Html, boxed, picture, tag
from transfer_cli.report.tables import Column, Table


class Seen(HTMLParser):
    """Elements and attributes of a page, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(name)
        self.attributes += [(key, value or "") for key, value in attributes]
        if name not in ("br", "img", "meta"):
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


@pytest.fixture
def hostile(monkeypatch: Any) -> str:
    return hostile_page(monkeypatch)


def test_names_cannot_become_markup(hostile: str) -> None:
    seen = Seen(hostile)
    assert seen.open == []
    assert "script" not in seen.tags
    assert {value[:15] for key, value in seen.attributes if key == "src"} == {"data:image/png;"}
    assert [key for key, _ in seen.attributes if key.startswith("on")] == []
    # they are there, as text, in every section
    assert seen.text.count(EVIL) > 20
    assert seen.text.count(QUOTED) > 5
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", hostile)


def test_the_page_needs_nothing_from_outside(hostile: str) -> None:
    seen = Seen(hostile)
    outside = {"src", "href", "action", "srcset", "data", "poster", "xlink:href", "background"}
    refs = [(key, value) for key, value in seen.attributes if key in outside]
    assert refs
    assert [ref for ref in refs if not ref[1].startswith(("#", "data:image/"))] == []
    assert "url(" not in hostile
    assert "@import" not in hostile
    assert ("content", "default-src 'none'; img-src data:; style-src 'unsafe-inline'") in seen.attributes
    assert {"link", "script", "iframe", "object", "embed", "base", "form"} & set(seen.tags) == set()
    targets = {value for key, value in seen.attributes if key == "id"}
    assert {value[1:] for key, value in seen.attributes if key == "href"} <= targets


def test_markup_is_made_in_one_place_only() -> None:
    """No section writes a tag itself."""
    folder = Path(page.__file__).parent
    files = [path for path in folder.glob("*.py") if path.name != "markup.py"]
    assert len(files) > 8
    lines = [(path.name, line.strip()) for path in files for line in path.read_text().splitlines()]
    assert [line for line in lines if re.search(r"[\"']</?[a-z]+[ >]", line[1])] == []
    assert [line for line in lines if re.search(r"\bHtml\([^)]", line[1])] == [
        ("page.py", 'style = Html(Path(__file__).with_name("style.css").read_text(encoding="utf-8"))')
    ]


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("a", {"href": "https://x"}),
        ("a", {"href": "javascript:x"}),
        ("img", {"src": "http://x"}),
        ("p", {"onclick": "x"}),
    ],
)
def test_a_reference_to_the_outside_is_a_bug(name: str, attributes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="a page holds all it shows"):
        tag(name, "x", **attributes)


def test_tag_escapes_text_and_keeps_markup() -> None:
    assert tag("p", "a & <b>", Html("<i>c</i>"), None, [1, "<"], title='"<') == (
        '<p title="&quot;&lt;">a &amp; &lt;b&gt;<i>c</i>1&lt;</p>'
    )
    with pytest.raises(ValueError, match="neither PNG nor JPEG"):
        picture(b"<svg onload=x>", "x")


def test_a_table_shows_what_the_screen_shows() -> None:
    columns = [Column("a"), Column("b", "%", interval=True), Column("c", only="machine"), Column("d", state=True)]
    told = boxed(
        Table(
            columns,
            [{"a": "<x>", "b": Interval(0.921, 0.908, 0.934), "c": "no", "d": "NEGATIVE transfer"}],
            notes=["n & m"],
        )
    )
    seen = Seen(told)
    assert seen.text == "ab %d<x>92.1 ±1.3NEGATIVE transfern & m"
    assert ("class", "bad") in seen.attributes


def test_the_finding_says_no_more_than_the_tests_allow() -> None:
    better = [*seeds("scratch", 0.8, 0.81, 0.82), *seeds("fine_tune", 0.9, 0.91, 0.925)]
    assert sentence(material(better)).startswith(
        "fine_tune is better than scratch: +10.17 ±0.72 points of accuracy, 3 seeds"
    )
    close = [*seeds("scratch", 0.8, 0.81, 0.82), *seeds("fine_tune", 0.82, 0.80, 0.83)]
    assert sentence(material(close)).startswith("No conclusion: fine_tune is ahead of scratch by")
    hurt = [*seeds("scratch", 0.9, 0.91, 0.92), *seeds("fine_tune", 0.7, 0.71, 0.725)]
    assert sentence(material(hurt)) == "Nothing here is better than scratch. NEGATIVE transfer: fine_tune"
    assert sentence(material([run(accuracy=0.9)])) == "fine_tune: accuracy 90.0 ±1.3 %"
    assert sentence(material([run(status="failed")])) == "No run of these is done"


def test_what_cannot_be_made_says_so_in_a_line() -> None:
    """Summaries alone: no store, no rows, no data."""
    runs = [{**one, "path": "/nowhere/a/b"} for one in [*seeds("scratch", 0.8, 0.81), *seeds("fine_tune", 0.9, 0.93)]]
    made = page.page(material(runs))
    assert made.absent == {
        "rules": "the runs kept one snapshot each, final",
        "curves": "no stage of these runs logged steps",
        "confusion": "the evaluate stages of these runs are gone, or have no classes",
        "mistakes": "no mistakes by name were stored",
        "features": "no net of these runs is in the store any more",
        "uncounted": "none: every run is done and counts",
        "expected": "none of these runs is an experiment with a stated number",
        "environment": "these runs recorded none",
    }
    assert all(why in Seen(made.html).text for why in made.absent.values())


def test_a_section_that_fails_takes_no_other_with_it(monkeypatch: Any) -> None:
    broken = {"data": ("Data", lambda it: 1 / 0)}
    monkeypatch.setattr(page, "SECTIONS", page.SECTIONS | broken)
    made = page.page(material(seeds("scratch", 0.8, 0.81)))
    assert made.absent["data"] == "could not be made: ZeroDivisionError: division by zero"
    assert "accuracy" in Seen(made.html).text


def test_commands_to_repeat() -> None:
    runs = [*seeds("scratch", 0.8, 0.81, 0.8), *seeds("fine_tune", 0.9, 0.93, 0.9)]
    assert again.commands(material(runs)) == [
        "transfer run strategy=fine_tune,scratch source=mnist data=usps --seeds 3"
    ]
    uneven = [*seeds("scratch", 0.8, 0.81, 0.8)[1:], run("fine_tune", 0, 0.9)]
    assert again.commands(material(uneven)) == [
        "transfer run strategy=fine_tune source=mnist data=usps",
        "transfer run strategy=scratch source=mnist data=usps seed=1,2 -m",
    ]


def test_axes_hold_their_numbers() -> None:
    assert Axis(0, 100, 0, 50)(25) == 12.5
    assert Axis(0, 100, 0, 50)(200) == 50
    assert Axis(1, 1000, 0, 30, log=True).ticks() == [1, 10, 100, 1000]
    assert Axis(1, 1000, 0, 30, log=True)(10) == pytest.approx(10)
    for low, high in ((0, 0.013), (-3, 1e6), (88.31, 88.33)):
        ticks = Axis(low, high, 0, 1).ticks()
        assert 3 <= len(ticks) <= 11
        assert low <= min(ticks) <= max(ticks) <= high
    axis = spanned([5.0, 5.0, float("nan")], 0, 1)
    assert axis.low < 5 < axis.high


def test_a_curve_says_its_numbers_in_words() -> None:
    points = [Point(0, Interval(50.0, 40.0, 60.0)), Point(10, Interval(90.0, float("nan"), float("nan")))]
    chart = lines([Curve("<b>", 0, points)], "step", "accuracy %", within=(0, 100))
    label = dict(Seen(chart).attributes)["aria-label"]
    assert label == "accuracy % over step. <b>: 50 to 90"
    assert "nan" not in chart


def test_matrices_are_summed_over_seeds(monkeypatch: Any) -> None:
    runs = seeds("fine_tune", 0.9, 0.93)
    for one in runs:
        one["fingerprints"]["test"]["classes"] = ["ant", "bee"]
    ants = {"is": "ant", "taken_for": "bee"}
    bees = {"is": "bee", "taken_for": "ant", "count": 5, "rows": ["7"]}
    kept = {
        runs[0]["id"]: {"confusion": [[8, 2], [0, 9]], "confused": [{**ants, "count": 2, "rows": ["1", "2"]}]},
        runs[1]["id"]: {"confusion": [[9, 1], [5, 4]], "confused": [bees, {**ants, "count": 1, "rows": ["2"]}]},
    }
    monkeypatch.setattr(mistakes, "evaluated", lambda run, rule: kept[run.id])
    it = material(runs)
    text = Seen(mistakes.matrices(it)).text
    assert "ant173" in text
    assert "bee513" in text
    assert mistakes.confused(it.groups[0]) == [bees, {**ants, "count": 3, "rows": ["1", "2"]}]


def test_many_classes_are_a_picture(monkeypatch: Any) -> None:
    runs = seeds("fine_tune", 0.9, 0.93)
    for one in runs:
        one["fingerprints"]["test"]["classes"] = [str(i) for i in range(30)]
    eye = [[int(i == j) for j in range(30)] for i in range(30)]
    monkeypatch.setattr(mistakes, "evaluated", lambda run, rule: {"confusion": eye})
    seen = Seen(mistakes.matrices(material(runs)))
    assert "table" not in seen.tags
    assert ("alt", "confusion matrix of 30 classes, 100.0 % on its diagonal") in seen.attributes


def test_asked_amiss(transfer: Callable[..., Told], tmp_path: Path) -> None:
    place(tmp_path / "runs", *seeds("scratch", 0.8, 0.81))
    told = transfer("report", "--all", "-o", "x.pdf")
    assert (told.code, told.errors) == (
        2,
        ["error: -o=x.pdf: a page ends in .html", "  do: transfer report last -o usps.html"],
    )
    told = transfer("report", "--all", "--baseline", "strategy=adda")
    assert (told.code, told.errors[0][:50]) == (2, "error: --baseline=strategy=adda: no group with a r")
    assert list(tmp_path.glob("*.html")) == []


def test_a_page_of_summaries_alone(transfer: Callable[..., Told], tmp_path: Path) -> None:
    """Old runs: the stages are gone, the data may be."""
    place(tmp_path / "runs", *seeds("scratch", 0.8, 0.81), *seeds("fine_tune", 0.9, 0.93))
    told = transfer("report", "--all", "-o", "old.html", "--json")
    answer = json.loads(told.out)
    assert (told.code, answer["schema"], answer["runs"], answer["groups"]) == (0, "report/1", 4, 2)
    assert answer["bytes"] == (tmp_path / "old.html").stat().st_size
    assert set(answer["absent"]) >= {"curves", "confusion", "features"}


@pytest.fixture(scope="module")
def real(tmp_path_factory: Any) -> Path:
    """A folder with two short runs of the package's own digits, one of them with a source."""
    from transfer_cli.cli.main import main

    folder = tmp_path_factory.mktemp("real")
    few = [
        "data=digits",
        "source=digits",
        "data.shots=3",
        "trainer.steps=4",
        "pretrain.trainer.steps=4",
        "trainer.validations=2",
    ]
    for strategy in ("scratch", "fine_tune"):
        assert main(["run", f"strategy={strategy}", *few, "--runs", str(folder), "-q"]) == 0
    return folder


def test_a_page_of_real_runs(real: Path, capsys: Any, tmp_path: Path) -> None:
    from transfer_cli.cli.main import main

    out = tmp_path / "real.html"
    code = main(["report", "last:2", "--runs", str(real), "-o", str(out), "--format", "table"])
    told = capsys.readouterr()
    assert code == 0, told.err
    said = " ".join(told.out.split())
    assert re.search(r"real.html \d+ kB, one file, opens offline; 2 runs, 2 groups, \d+ figures", said)
    html = out.read_text()
    seen = Seen(html)
    assert "before transfer" in unescape(html).lower()
    assert html.count("proxy A-distance") >= 3
    assert any(key == "alt" and value.startswith("digits/all/") for key, value in seen.attributes)
    assert "Compared" in seen.text
    assert "could not be made" not in seen.text
    assert str(Path.home()) not in html
