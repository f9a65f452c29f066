"""What a run says while it works: on a clock that the test moves."""

import io
import re
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transfer_cli.report.live.progress import BARS, Curve, Pace, spark
from transfer_cli.report.live.run_display import Lines, Live, Talk, talk
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Look

NOON = 1_795_350_933.0  # 2026-11-22 ..:..:33 UTC


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Tty(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Unread(Tty):
    """A stream whose reader goes after the first line, as `head -1` does."""

    def write(self, text: str) -> int:
        if "\n" in self.getvalue():
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def said(talk: Any) -> list[str]:
    return str(talk._screen.err.getvalue()).splitlines()


@pytest.fixture
def pipe(clock: Clock) -> Lines:
    return Lines(Screen(io.StringIO(), io.StringIO()), clock, wall=lambda: NOON + clock.now - 100)


def test_a_pipe_gets_one_line_a_change_of_stage(pipe: Lines) -> None:
    pipe.stage("pretrain", "to do", "supervised, mnist 54,000")
    pipe.stage("fine_tune", "none")
    pipe.stage("pretrain", "running", "supervised, mnist 54,000")
    pipe.stage("pretrain", "done", seconds=221.0)
    assert [re.sub(r"^\d\d:\d\d:\d\dZ ", "", line) for line in said(pipe)] == [
        "pretrain running supervised, mnist 54,000",
        "pretrain done 3m 41s",
    ]


def test_a_pipe_gets_at_most_one_line_in_30_seconds(pipe: Lines, clock: Clock) -> None:
    pipe.stage("align", "running", "dann")
    for step in range(1, 241):
        clock.now += 0.5
        pipe.step("align", step, 400, 1.02, 3180.0)
    lines = said(pipe)[1:]
    stamps = [sum(int(part) * unit for part, unit in zip(line[:8].split(":"), (3600, 60, 1))) for line in lines]
    assert len(lines) == 4
    assert min(later - earlier for earlier, later in pairwise(stamps)) >= 30
    assert re.fullmatch(r"\d\d:\d\d:\d\dZ align 60/400 loss 1.02 left 170s", lines[0])


def test_the_time_left_counts_from_where_a_resumed_stage_began(clock: Clock) -> None:
    pace = Pace("align", begun=0.0, first=400, step=500, steps=1000)
    assert pace.left(50.0) == pytest.approx(250.0)
    assert Pace("align", begun=0.0, first=400, step=404, steps=1000).left(50.0) is None


def test_due_is_true_for_the_first_step_and_then_after_the_pause(pipe: Lines, clock: Clock) -> None:
    pipe.stage("align", "running")
    assert pipe.due()
    pipe.step("align", 1, 10, 1.0, 1.0)
    assert not pipe.due()
    clock.now += 30
    assert pipe.due()


def test_notes_are_harmless_lines(pipe: Lines) -> None:
    pipe.note("damaged \x1b]0;x\x07 file\nnext")
    assert said(pipe)[0].endswith("damaged \\x1b]0;x\\x07 file\\x0anext")


def live(clock: Clock, monkeypatch: Any, columns: int = 80) -> tuple[Live, Tty]:
    monkeypatch.setenv("COLUMNS", str(columns))
    err = Tty()
    return Live(Screen(io.StringIO(), err, look=Look(), talk=Look(columns)), clock), err


def frame(err: Tty) -> str:
    """The last frame drawn, without cursor movement."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err.getvalue().split("\x1b[2K")[-1])


def drawn(err: Tty) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err.getvalue())


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_the_live_table_holds_every_fact_at_every_width(clock: Clock, monkeypatch: Any, columns: int) -> None:
    display, err = live(clock, monkeypatch, columns)
    display.stage("pretrain", "cached", "supervised, mnist 54,000", 221.0)
    display.stage("align", "running", "dann, mnist 54,000 + usps 6,562 no label")
    display.stage("evaluate", "to do", "usps test, 2,007 pictures", 2.0)
    for step in range(40, 1241, 40):
        clock.now += 20.0
        display.step("align", step, 2000, 2.0 - step / 1000, 3180.4, {"source_val": 0.987, "target_val": 0.899})
    text = " ".join(frame(err).split())
    for fact in (
        "pretrain",
        "cached",
        "3m 41s",
        "dann, mnist 54,000 + usps 6,562 no label",
        "usps test",
        "~2 s",
        "62 %",
    ):
        assert fact in text
    for fact in (
        "step 1,240 of 2,000",
        "best validation: source 98.7 %, target 89.9 %",
        "3,180 samples/s",
        "~6m 22s left",
    ):
        assert fact in text
    assert all(len(line) <= columns for line in drawn(err).splitlines())


def test_the_live_table_is_drawn_at_most_4_times_a_second(clock: Clock, monkeypatch: Any) -> None:
    display, err = live(clock, monkeypatch)
    display.stage("align", "running", "dann")
    before = err.getvalue().count("align")
    for step in range(1000):
        clock.now += 0.01
        if display.due():
            display.step("align", step, 2000, 1.0, 10.0)
    assert 35 <= err.getvalue().count("align") - before <= 41


def test_a_note_stays_above_the_table(clock: Clock, monkeypatch: Any) -> None:
    display, err = live(clock, monkeypatch)
    display.stage("align", "running", "dann")
    display.note("warning: [red]resume[/red] file for step 400 is :damaged:")
    display.close()
    assert "warning: [red]resume[/red] file for step 400 is :damaged:" in drawn(err)
    assert "align" in frame(err)


def test_a_display_that_showed_nothing_leaves_nothing(clock: Clock, monkeypatch: Any) -> None:
    display, err = live(clock, monkeypatch)
    display.close()
    assert err.getvalue() == ""


@pytest.mark.parametrize(
    ("err", "changed", "kind"),
    [
        (Tty(), {}, Live),
        (Tty(), {"talk": Look(plain=True)}, Lines),
        (io.StringIO(), {}, Lines),
        (Tty(), {"quiet": True}, Talk),
    ],
)
def test_the_form_follows_the_stream(err: io.StringIO, changed: dict[str, Any], kind: type) -> None:
    assert type(talk(Screen(io.StringIO(), err, **changed))) is kind


def test_quiet_says_nothing_and_asks_for_nothing() -> None:
    err = Tty()
    silent = talk(Screen(io.StringIO(), err, quiet=True))
    assert not silent.due()
    silent.stage("align", "running")
    silent.step("align", 1, 2, 1.0, 1.0)
    silent.note("x")
    silent.close()
    assert err.getvalue() == ""


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize("closed", [True, False])
def test_talk_that_nobody_reads_falls_silent_and_the_work_goes_on(plain: bool, closed: bool) -> None:
    err = Unread()
    wishes = SimpleNamespace(
        json=False, format=None, out=None, quiet=False, verbose=False, color="auto", plain=plain
    )  # fmt: skip
    screen = Screen.of(wishes, io.StringIO(), err)
    speaker = talk(screen)
    speaker.note("first")
    if closed:
        err.close()
    speaker.stage("align", "running", "dann")
    for step in range(1, 5):
        speaker.step("align", step, 4, 1.0, 10.0)
    speaker.note("more")
    speaker.close()
    screen.note("a sentence")
    screen.write("the answer\n")
    assert type(speaker) is (Lines if plain else Live)
    assert screen.out.getvalue() == "the answer\n"  # type: ignore[attr-defined]
    assert closed or err.getvalue().count("\n") == 1


def test_the_curve_is_bars_between_its_first_and_last_number() -> None:
    curve = Curve()
    for step in range(800):
        curve.add(1.7 - (step // 100) * 0.1)
    assert curve.means() == pytest.approx([1.7, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1, 1.0], abs=0.02)
    assert curve.text() == "1.70 █▇▆▅▄▃▂▁ 1.00"
    assert curve.text("ascii") == "1.70 -> 1.00"


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=700))
def test_the_curve_keeps_the_mean_in_bounded_memory(losses: list[float]) -> None:
    curve = Curve()
    for loss in losses:
        curve.add(loss)
    assert len(curve._parts) <= Curve.LIMIT
    assert sum(total for total, _ in curve._parts) == pytest.approx(sum(losses), abs=1e-6)
    assert len(curve.means()) == min(8, len(curve._parts))


def test_bars_of_equal_and_of_broken_numbers() -> None:
    assert spark([1.0, 1.0]) == BARS[0] * 2
    assert spark([float("nan"), 0.0, 1.0, float("inf")]) == "█▁██"
