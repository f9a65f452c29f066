"""runtime.max_time: read as people write times, stops with all saved, and the same words go on to the same bytes."""

from pathlib import Path

import pytest
from victims import manifests, run

from transfer_cli.config.values import seconds
from transfer_cli.signals import TIME_UP, Stop

WORDS = ("data=digits", "model=mlp", "trainer=tiny", "runtime=cpu", "runtime.threads=1")


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("1h30m", 5400), ("1h1m1s", 3661)]
)
def test_times_are_read_as_people_write_them(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "2x", "1.5h", "h", "m15", "-5m", "1m1h", "2h "])
def test_what_is_no_time_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="a time: 90s, 15m, 1h30m"):
        seconds(text)


def test_a_time_that_is_none_is_told_before_any_work(memory: Path) -> None:
    code, text = run(["run", *WORDS, "runtime.max_time=soon", "--runs", str(memory / "runs")], memory / "out")
    assert code == 2
    assert "error: runtime.max_time=soon: a time: 90s, 15m, 1h30m" in text
    assert not (memory / "runs").exists()


def test_the_clock_stops_only_who_has_a_limit() -> None:
    free, over, left = Stop(), Stop().limit(0.0, "runtime.max_time=0s"), Stop().limit(3600.0, "runtime.max_time=1h")
    assert (free.code, over.code, left.code) == (0, TIME_UP, 0)
    assert Stop().limit(60.0, "x", began=-1e9).code == TIME_UP


def test_after_its_time_a_run_stops_saved_and_the_same_words_end_with_the_same_bytes(memory: Path) -> None:
    argv = ["run", *WORDS, "--runs", str(memory / "runs")]
    for at, where in ((("pretrain", 1), "pretrain 2 of 3"), (("fine_tune", 0), "fine_tune 1 of 3")):
        code, text = run([*argv, "runtime.max_time=1h"], memory / "out", at=at, act=("late", 3600))
        assert code == TIME_UP, text
        assert f"runtime.max_time=1h: {where}, the time is over, saved\n  do: the same command goes on" in text
        assert "error" not in text
    code, text = run(argv, memory / "out")
    assert code == 0, text
    assert "fine_tune goes on at step 1 of 3" in text
    code, text = run(["run", *WORDS, "--runs", str(memory / "whole")], memory / "out")
    assert code == 0, text
    assert manifests(memory / "runs") == manifests(memory / "whole")
