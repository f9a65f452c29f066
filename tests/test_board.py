"""A sweep while it works: every fact at every width, never taller than the window, plain lines in a pipe."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from transfer_cli.report.live import sweep_display as boards
from transfer_cli.report.live.progress_file import ProgressFile, read_progress
from transfer_cli.report.live.sweep_display import Board, Changes, Live, board, label
from transfer_cli.report.screen import Screen
from transfer_cli.report.sweep_table import failures, sweep_lines
from transfer_cli.report.tables import Look, lines
from transfer_cli.store.lock import Lock

FAULT = "align: non-finite loss at step 212"


class Tty(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def row(strategy: str, seed: int, state: str, **more: Any) -> dict[str, Any]:
    words = ["source=mnist", f"strategy={strategy}", "data=usps", f"seed={seed}"]
    return {"words": words, "state": state, "code": None, "id": f"k0000{seed}", "path": f"r/{strategy}{seed}", **more}


def done(strategy: str, seed: int, value: float) -> dict[str, Any]:
    head = {"name": "test/accuracy", "rule": "final", "value": value, "ci95": None, "n": 2007, "over": "draws"}
    return row(strategy, seed, "done", code=0, headline=head)


ROWS = [
    *(done("dann", seed, value) for seed, value in enumerate((0.91, 0.92, 0.93))),
    *(done("mcd", seed, 0.7) for seed in (0, 2)),
    row("mcd", 1, "failed", code=7, fault=FAULT),
    row("mcd", 3, "running", at="align 71 %", loss="0.66 ▆▅▄▃▂ 0.21"),
    row("mcd", 4, "waiting"),
    *(row("adda", seed, "to do") for seed in range(5)),
]


def text_of(frame: list[str]) -> str:
    return " ".join(" ".join(frame).split())


def test_groups_take_a_line_and_running_and_failed_runs_one_each() -> None:
    frame = sweep_lines("swp4hd", ROWS, 680.0, Look(100), 24)
    assert frame[0] == "sweep swp4hd: 13 runs, 5 done, 1 failed, 1 running, 1 waiting, 5 to do, ~11m 20s left"
    assert [line.split() for line in frame[1:]] == [
        ["strategy", "seed", "state", "accuracy", "%", "at"],
        # t interval of 91, 92, 93 by hand: 4.3027 * 1 / sqrt(3) = 2.48
        ["dann", "0..2", "done", "92.0", "±2.5", "3", "runs"],
        ["mcd", "3", "running", "align", "71", "%,", "0.66", "▆▅▄▃▂", "0.21"],
        ["mcd", "1", "failed", *FAULT.split(), "[7]"],
        ["mcd", "4", "waiting"],
        ["mcd", "0,", "2", "done", "70.0", "±0.0", "2", "runs"],
        ["adda", "0..4", "to", "do", "5", "runs"],
    ]


def test_a_search_shows_what_it_looks_for() -> None:
    heads = [{"name": "target_val/nll", "value": value, "ci95": None, "over": "validation"} for value in (0.25, 0.5)]
    rows = [row("dann", seed, "done", code=0, headline=head) for seed, head in enumerate(heads)]
    assert sweep_lines("s1", rows[:1], None, Look(100), 9)[1].split()[-2:] == ["target_val/nll", "at"]
    assert sweep_lines("s1", rows[:1], None, Look(100), 9)[2].split()[-3:] == ["0.250", "1", "run"]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_every_fact_at_every_width(width: int) -> None:
    frame = sweep_lines("swp4hd", ROWS, None, Look(width), 60)
    assert all(len(line) <= width for line in frame)
    for fact in ("13 runs", "0..2", "92.0 ±2.5", "align 71 %,", "0.66 ▆▅▄▃▂ 0.21", "waiting", "5 runs", "step 212"):
        assert fact in text_of(frame)


@pytest.mark.parametrize("height", range(2, 12))
@pytest.mark.parametrize("width", [40, 100])
def test_never_taller_than_the_window_and_what_matters_stays(height: int, width: int) -> None:
    frame = sweep_lines("swp4hd", ROWS, 680.0, Look(width), height)
    assert len(frame) <= height
    if height >= 7 and width == 100:
        assert "align 71 %" in text_of(frame)
        assert FAULT in text_of(frame)
    if height == 7 and width == 100:
        assert frame[-1] == "not shown: 1 done, 1 to do"


def test_failures_stand_in_a_table_with_their_logs() -> None:
    rows = [*ROWS[:5], row("mcd", 1, "failed", code=7, fault=FAULT), row("mcd", 4, "died", code=137)]
    table = failures(rows, {"r/mcd1": "runs/r/mcd1/log.txt", "r/mcd4": "runs/r/mcd4/log.txt"})
    assert [line.split() for line in lines(table, Look(120))] == [
        ["run", "words", "state", "log", "why"],
        ["k00001", "strategy=mcd", "seed=1", "failed", "[7]", "runs/r/mcd1/log.txt", *FAULT.split()],
        ["k00004", "strategy=mcd", "seed=4", "died", "[137]", "runs/r/mcd4/log.txt"],
    ]


def test_a_thousand_runs_fit_too() -> None:
    many = [row(f"s{number // 5}", number % 5, "failed", code=1, fault="x") for number in range(1000)]
    assert len(sweep_lines("swp4hd", many, None, Look(80), 22)) == 22


def test_the_form_follows_the_stream(tmp_path: Path) -> None:
    forms = [
        (Screen(io.StringIO(), Tty()), Live),
        (Screen(io.StringIO(), Tty(), talk=Look(plain=True)), Changes),
        (Screen(io.StringIO(), io.StringIO()), Changes),
        (Screen(io.StringIO(), Tty(), quiet=True), Board),
    ]
    for screen, form in forms:
        assert type(board(screen, "s1", tmp_path)) is form


def test_a_pipe_gets_a_line_a_change_with_the_words_that_differ(tmp_path: Path) -> None:
    screen = Screen(io.StringIO(), io.StringIO())
    talk = board(screen, "s1", tmp_path)
    talk.begun(ROWS, 5)
    talk.ended(ROWS, 5, None)
    talk.show(ROWS)
    told = [re.sub(r"^\S+Z ", "", line) for line in screen.err.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert told == [
        "6/13  strategy=mcd seed=1  run k00001",
        f"6/13  strategy=mcd seed=1  failed [7]  {FAULT}  {tmp_path}/r/mcd1/log.txt",
    ]
    assert label([ROWS[0]], 0) == "source=mnist strategy=dann data=usps seed=0"


def test_on_a_terminal_a_failure_is_told_at_once_and_stays_above_the_table(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "12")
    err = Tty()
    talk = Live(Screen(io.StringIO(), err, talk=Look(100)), "s1", tmp_path)
    talk.ended(ROWS, 5, None)
    drawn = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err.getvalue())
    assert drawn.index(f"{FAULT}  {tmp_path}/r/mcd1/log.txt") < drawn.index("sweep s1: 13 runs")
    talk.close()


def test_what_a_run_tells_is_seen_from_outside_and_gone_at_its_end(tmp_path: Path) -> None:
    now = [100.0]
    relay = ProgressFile(tmp_path, clock=lambda: now[0])
    relay.stage("align", "running", "dann")
    assert read_progress(tmp_path)["at"] == "align"
    relay.step("align", 1, 100, 2.0, 1.0)  # within a second of the last word
    assert read_progress(tmp_path)["at"] == "align"
    for step in range(2, 12):
        now[0] += 1
        relay.step("align", step, 100, 2.0, 1.0)
    assert read_progress(tmp_path) == {"at": "align 11 %", "loss": "2.00 ▁▁▁▁▁▁▁▁ 2.00", "left_s": pytest.approx(89.0)}
    relay.close()
    assert read_progress(tmp_path) == {}
    (tmp_path / ".now").write_text(json.dumps({"at": "\x1b]0;x", "left_s": "soon"}))
    assert read_progress(tmp_path) == {"at": "\\x1b]0;x", "loss": "", "left_s": None}
    (tmp_path / ".now").write_text("torn {")
    assert read_progress(tmp_path) == {}


def test_a_run_that_nobody_has_begun_is_waiting(tmp_path: Path) -> None:
    folder = tmp_path / "r" / "mcd3"
    folder.mkdir(parents=True)
    told = row("mcd", 3, "running")
    assert boards._now(told, tmp_path) == {"state": "waiting"}
    lock = Lock(folder / ".lock")
    assert lock.take("test")
    (folder / ".now").write_text('{"at": "align 3 %"}')
    assert boards._now(told, tmp_path)["at"] == "align 3 %"
    lock.release()
