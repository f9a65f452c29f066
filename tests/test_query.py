"""Queries: the words of `run` find the runs they made; ranges, lists, metrics; what finds nothing says why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from madeup import run, typed

from transfer_cli.analysis.query import fact, fits, select
from transfer_cli.analysis.results import Run
from transfer_cli.errors import ConfigError

RUNS = [
    run("scratch", 0, 0.7, data__shots=5),
    run("scratch", 1, 0.8, data__shots=20),
    run("fine_tune", 0, 0.9, trainer__steps=500),
    run("fine_tune", 3, 0.95),
    run("linear_probe", 4, status="failed", headline=None),
]
RUNS[3]["note"] = "other machine"
RUNS[1]["choices"]["data"] = "./my/pictures"


TYPED = typed(RUNS)


def found(*words: str, without: tuple[str, ...] = ()) -> list[int]:
    return [TYPED.index(one) for one in select(TYPED, words, without)]


@pytest.mark.parametrize(
    ("words", "places"),
    [
        (["strategy=scratch"], [0, 1]),
        (["strategy=scratch,fine_tune", "seed=0"], [0, 2]),
        (["seed=1..3"], [1, 3]),
        (["seed=3.."], [3, 4]),
        (["seed=..0"], [0, 2]),
        (["accuracy=0.8.."], [1, 2, 3]),
        (["accuracy=..0.75"], [0]),
        (["nll=0.04..0.06"], [3]),
        (["data.shots=20,5"], [0, 1]),
        (["trainer.steps=5e2"], [2]),
        (["strategy=*tune"], [2, 3]),
        (["strategy=*", "state=failed"], [4]),
        (["data=pictures"], [1]),
        (["data=./my/pictures"], [1]),
        (["fine_tune.head_lr=0.1"], [0, 1, 2, 3]),
        (["fine_tune.head_lr=none"], [4]),
        (["rule=final", "cost=62.."], [3]),
        (["note=*machine*"], [3]),
        (["weights=none", "pretrain=none"], [0, 1]),
    ],
)
def test_what_a_query_finds(words: list[str], places: list[int]) -> None:
    assert found(*words) == places


def test_not_leaves_out_whatever_fits_any() -> None:
    assert found(without=("strategy=scratch", "seed=4")) == [2, 3]
    assert found("seed=0", without=("strategy=scratch",)) == [2]


@given(st.integers(-5, 9), st.integers(-5, 9))
def test_a_range_is_what_lies_between(low: int, high: int) -> None:
    for one in TYPED:
        assert fits(one, "seed", f"{low}..{high}") == (low <= one.seed <= high)


def test_a_query_that_finds_nothing_says_what_each_word_finds_alone() -> None:
    with pytest.raises(ConfigError) as caught:
        select(TYPED, ["strategy=scratch", "accuracy=0.9.."], ["seed=9"])
    assert caught.value.faults[0].line() == (
        "strategy=scratch accuracy=0.9.. --not seed=9: no run fits all of this; of 5 runs each alone finds: "
        "strategy=scratch 2, accuracy=0.9.. 2, seed=9 0"
    )
    assert select([], ["strategy=scratch"]) == []


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("stratgy=scratch", "stratgy: no run has such a word; nearest: strategy"),
        ("trainer.step=1", "trainer.step: no run has such a word; nearest: trainer.steps"),
        ("seed=", "seed=: a query is written in the words of run: strategy=coral"),
    ],
)
def test_a_misspelt_word_is_no_query_that_finds_nothing(word: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        select(TYPED, [word])
    assert caught.value.faults[0].line() == line


@pytest.mark.parametrize("value", ["..", "...", "1..2..3", "a..b", "[0-9", "{0..4}", "../data", "0x1", "1e999.."])
def test_odd_values_find_nothing_and_break_nothing(value: str) -> None:
    assert not any(fits(one, "seed", value) for one in TYPED)
    assert not any(fits(one, "strategy", value) for one in TYPED)


def test_a_run_that_left_nothing_fits_nothing() -> None:
    broken = Run("k12345", "unreadable", document={"metrics": {}})
    assert fact(broken, "accuracy") is None
    assert not fits(broken, "strategy", "scratch")
