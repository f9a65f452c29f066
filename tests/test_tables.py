"""Tables: nothing is lost at any width, in any face, whatever the cells hold."""

import csv
import io
import json
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_cli.analysis.statistics import Interval
from transfer_cli.errors import StoreError
from transfer_cli.report.renderers import render
from transfer_cli.report.screen import Screen, look_of
from transfer_cli.report.tables import Column, Look, Table
from transfer_cli.report.text import cells, clean, wrap

HOSTILE = [
    "[red]x[/red]",
    ":cat:",
    "[/a/x]",
    "a\x1b]0;title\x07b",
    "\u202egnp.exe",
    "\u009b31m",
    "x" * 200,
    "日本語のクラス",
    "e\u0301a",
    "tab\there",
    "two\nlines",
    "crack ",
    "=cmd|' /C calc'!A0",
    "-rf",
    "",
    "\udc80bytes",
    "😀 smile",
    "a | b",
    "\u2028line",
]
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
COLUMNS = [
    Column("name"),
    Column("share", "%", interval=True),
    Column("kind"),
    Column("cost", "s"),
    Column("mark", head=""),
]
LETTERS = st.sampled_from(sorted({letter for text in HOSTILE for letter in text}))
words = st.one_of(st.sampled_from(HOSTILE), st.text(LETTERS, max_size=60))
rows = st.lists(
    st.fixed_dictionaries({"name": words, "kind": words, "mark": words, "cost": st.floats(0, 1e6)}), max_size=5
)


def one(**values: Any) -> Table:
    return Table(COLUMNS, [values], title="a title", notes=["a note"], next="transfer show k7q2md")


@given(
    rows=rows, width=st.integers(40, 120), encoding=st.sampled_from(["utf-8", "ascii", "latin-1"]), plain=st.booleans()
)
def test_every_cell_is_on_the_screen_at_every_width(
    rows: list[dict[str, Any]], width: int, encoding: str, plain: bool
) -> None:
    text = render(Table(COLUMNS, rows), "table", Look(width, encoding, plain=plain))
    for row in rows:
        for name in ("name", "kind", "mark"):
            assert clean(row[name], encoding) in text
    text.encode(encoding)
    assert not RAW.search(text)


@given(rows=rows, width=st.integers(40, 120))
def test_only_a_cell_that_is_too_long_itself_passes_the_edge(rows: list[dict[str, Any]], width: int) -> None:
    longest = max((cells(clean(str(row[name]))) for row in rows for name in ("name", "kind", "mark")), default=0)
    for line in render(Table(COLUMNS, rows), "table", Look(width)).splitlines():
        assert cells(line) <= max(width, longest + len("  kind "))


@pytest.mark.parametrize("width", range(40, 121))
def test_the_compare_table_of_six_columns_keeps_every_cell(width: int) -> None:
    row = {"name": "source_only", "share": Interval(0.921, 0.908, 0.934), "kind": "NEGATIVE transfer", "cost": 161.0}
    text = render(one(**row), "table", Look(width))
    assert all(cell in text for cell in ("source_only", "92.1 ±1.3", "NEGATIVE transfer", "2m 41s", "cost", "share %"))
    assert max(map(cells, text.splitlines())) <= width


def test_what_does_not_fit_stands_below_with_its_name() -> None:
    row = {"name": "x" * 20, "share": Interval(0.921, 0.908, 0.934), "kind": "k" * 30, "cost": 161.0, "mark": "P"}
    assert render(one(**row), "table", Look(50)).splitlines() == [
        "a title",
        "name                    share %    cost",
        "xxxxxxxxxxxxxxxxxxxx  92.1 ±1.3  2m 41s  P",
        "  kind kkkkkkkkkkkkkkkkkkkkkkkkkkkkkk",
        "a note",
        "next  transfer show k7q2md",
    ]


def test_plain_is_one_fact_a_line() -> None:
    text = render(one(name="a", share=None, kind="", cost=12.0, mark="P"), "table", Look(plain=True))
    assert text == "a title\nname a\n  cost 0m 12s\n  P\na note\nnext  transfer show k7q2md\n"


def test_the_next_command_is_never_broken() -> None:
    command = "transfer run strategy=scratch,fine_tune source=mnist data=usps --seeds 5"
    text = render(Table([Column("a")], [{"a": 1}], next=command), "table", Look(40))
    assert text.splitlines()[-1] == f"next  {command}"


def test_colour_changes_no_text() -> None:
    table = Table([Column("run"), Column("state", state=True)], [{"run": "k7q2md", "state": "failed [7]"}])
    bright, grey = render(table, "table", Look(color=True)), render(table, "table", Look())
    assert "\x1b[31mfailed [7]\x1b[0m" in bright
    assert re.sub(r"\x1b\[[0-9;]*m", "", bright) == grey


def test_wide_letters_take_two_cells() -> None:
    table = Table([Column("name"), Column("n", "n")], [{"name": "日本", "n": 1}, {"name": "abcd", "n": 22}])
    assert render(table, "table", Look()).splitlines()[1:] == ["日本   1", "abcd  22"]


def test_wrap_keeps_every_part_whole() -> None:
    assert wrap(["aaa", "bb", "c" * 12, "d"], 8, indent="  ") == ["aaa bb", "  " + "c" * 12, "  d"]


@given(rows)
def test_tsv_has_one_line_a_row_and_the_same_number_of_fields(rows: list[dict[str, Any]]) -> None:
    lines = render(Table(COLUMNS, rows), "tsv").removesuffix("\n").split("\n")
    assert lines[0].split("\t") == ["name", "share", "share_lo", "share_hi", "kind", "cost_s", "mark"]
    assert len(lines) == 1 + len(rows)
    for line, row in zip(lines[1:], rows, strict=True):
        assert float(line.split("\t")[5]) == row["cost"]
        assert line.count("\t") == 6


def test_machines_get_base_units_in_full_precision() -> None:
    share = Interval(1 / 3, 0.1, 0.5)
    row = {"name": "a", "share": share, "kind": None, "cost": -0.5, "mark": True}
    assert render(one(**row), "tsv").splitlines()[1] == "a\t0.3333333333333333\t0.1\t0.5\t\t-0.5\ttrue"
    document = json.loads(render(one(**row), "json"))
    assert document["schema"] == "table/1"
    assert document["notes"] == ["a note"]
    assert document["rows"] == [
        {"name": "a", "share": 1 / 3, "share_lo": 0.1, "share_hi": 0.5, "kind": None, "cost_s": -0.5, "mark": True}
    ]


def test_nan_is_an_empty_field_and_null() -> None:
    table = one(name="a", share=Interval(0.9, math.nan, math.nan), cost=math.inf)
    assert render(table, "csv").splitlines()[1] == "a,0.9,,,,inf,"
    assert json.loads(render(table, "json"))["rows"][0]["share_lo"] is None


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "＝1"])
def test_a_spreadsheet_finds_no_formula_but_numbers_stay(text: str) -> None:
    (_, record) = csv.reader(io.StringIO(render(one(name=text, cost=-0.5), "csv")))
    assert record[0] == "'" + text
    assert float(record[5]) == -0.5


def test_json_is_ascii_and_keeps_the_text() -> None:
    text = render(one(name="\x1b[2J\u202e日"), "json")
    assert text.isascii()
    assert json.loads(text)["rows"][0]["name"] == "\x1b[2J\u202e日"


def test_faces_choose_their_columns() -> None:
    columns = [Column("started", only="screen"), Column("time", only="machine"), Column("seeds", only="json")]
    table = Table(columns, [{"started": "yesterday", "time": "2026-11-22", "seeds": [0, 1]}])
    assert render(table, "table").split() == ["started", "yesterday"]
    assert render(table, "tsv").split() == ["time", "2026-11-22"]
    assert json.loads(render(table, "json"))["rows"] == [{"time": "2026-11-22", "seeds": [0, 1]}]


def test_markdown_and_latex_show_the_text_as_it_is() -> None:
    table = one(name="a|b *c* <img src=x>", kind="50 % of x_1 & $y$", share=Interval(0.921, 0.908, 0.934))
    markdown, latex = render(table, "md"), render(table, "latex")
    assert "| a\\|b \\*c\\* &lt;img src=x&gt; | 92.1 ±1.3 |" in markdown
    assert markdown.endswith("\na title  \na note\n")
    assert r"50 \% of x\_1 \& \$y\$" in latex
    assert r"92.1 $\pm$1.3" in latex
    assert r"\caption{a title. a note.}" in latex


class Tty(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def wishes(**changed: Any) -> Any:
    plain = {
        "json": False,
        "format": None,
        "out": None,
        "quiet": False,
        "verbose": False,
        "color": "auto",
        "plain": False,
    }
    return SimpleNamespace(**{**plain, **changed})


@pytest.mark.parametrize(
    ("changed", "stream", "face"),
    [
        ({}, Tty(), "table"),
        ({}, io.StringIO(), "tsv"),
        ({"json": True}, Tty(), "json"),
        ({"format": "md"}, io.StringIO(), "md"),
        ({"out": Path("a.csv")}, Tty(), "csv"),
        ({"out": Path("a.tex")}, Tty(), "latex"),
        ({"out": Path("a")}, Tty(), "tsv"),
    ],
)
def test_the_face_follows_the_options_then_the_stream(changed: dict[str, Any], stream: io.StringIO, face: str) -> None:
    assert Screen.of(wishes(**changed), stream, io.StringIO()).format == face


@pytest.mark.parametrize(
    ("stream", "color", "environment", "colored"),
    [
        (Tty(), "auto", {}, True),
        (Tty(), "never", {}, False),
        (Tty(), "auto", {"NO_COLOR": "1"}, False),
        (Tty(), "always", {"NO_COLOR": "1"}, True),
        (Tty(), "auto", {"TERM": "dumb"}, False),
        (io.StringIO(), "auto", {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1"}, False),
    ],
)
def test_colour(monkeypatch, stream, color, environment, colored) -> None:  # type: ignore[no-untyped-def]
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert look_of(stream, color).color is colored


def test_title_and_notes_of_a_pipe_go_to_stderr_and_stay_silent_with_q() -> None:
    for quiet, talk in ((False, "a title\na note\n"), (True, "")):
        out, err = io.StringIO(), io.StringIO()
        Screen.of(wishes(quiet=quiet), out, err).show(one(name="a"))
        assert out.getvalue().splitlines()[0].startswith("name\t")
        assert err.getvalue() == talk


def test_out_writes_the_file_and_leaves_stdout_empty(tmp_path: Path) -> None:
    out, err = io.StringIO(), io.StringIO()
    Screen.of(wishes(out=tmp_path / "a.json"), out, err).show(one(name="é"))
    assert json.loads((tmp_path / "a.json").read_text())["rows"][0]["name"] == "é"
    assert out.getvalue() == ""


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    screen = Screen.of(wishes(out=tmp_path / "none" / "a.csv"), io.StringIO(), io.StringIO())
    with pytest.raises(StoreError, match=r"-o=.*none/a.csv: cannot be written: No such file or directory"):
        screen.show(one(name="a"))
