"""A search: what the words span, choices that a pure function of the ledger makes, never by test rows."""

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from madeup import run

from transfer_cli.config.space import Interval, Space, space
from transfer_cli.errors import ConfigError
from transfer_cli.runner import search as searching
from transfer_cli.runner.search import ask, reached

SMALL = ("data=digits", "model=mlp", "trainer=tiny", "runtime=cpu")
RATE = "trainer.lr=0.001..0.1"
BY = ("--metric", "target_val/accuracy")


def test_words_span_a_space() -> None:
    found = space(
        ["data=digits", RATE, "trainer.steps=3..9", "strategy=scratch,fine_tune", "trainer.momentum=0.5..0.9"]
    )
    assert found.fixed == ("data=digits",)
    assert found.axes == {
        "trainer.lr": Interval(0.001, 0.1, whole=False),
        "trainer.steps": Interval(3, 9, whole=True),
        "strategy": ("scratch", "fine_tune"),
        "trainer.momentum": Interval(0.5, 0.9, whole=False),
    }
    assert [key for key, axis in found.axes.items() if isinstance(axis, Interval) and axis.log] == ["trainer.lr"]
    assert found.words({"trainer.lr": 0.01, "trainer.steps": 4, "strategy": "scratch", "trainer.momentum": 0.5}) == [
        "data=digits",
        "trainer.lr=0.01",
        "trainer.steps=4",
        "strategy=scratch",
        "trainer.momentum=0.5",
    ]
    assert len(found.corners()) == 5  # the first ends, and one more run for each other end or choice
    assert sum("trainer.steps=9" in words for words in found.corners()) == 1


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["data=digits"], "--search: nothing to search"),
        (["trainer.lr=0.1..0.01"], "trainer.lr=0.1..0.01: the first end must be the smaller one"),
        ([RATE, "seed=0..4"], "seed: must have one value; a search does not vary it"),
    ],
)
def test_words_that_span_nothing(words: list[str], text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        space(words)
    assert caught.value.faults[0].line() == text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            ["--metric", "test/accuracy"],
            "--metric=test/accuracy: nothing is selected on test; nearest: target_val/accuracy",
        ),
        (["--metric", "oracle/nll"], "--metric=oracle/nll: nothing is selected on test; nearest: target_val/nll"),
        (["--metric", "loss"], "--metric=loss: no validation metric; it begins with source_val/ or target_val/"),
        ([], "--search: needs --metric, the number to improve"),
        ([*BY, "--seeds", "3"], "--seeds=3: is given with --search; say one of them"),
    ],
)
def test_a_search_that_would_be_no_search(options: list[str], text: str, transfer: Any) -> None:
    told = transfer("run", *SMALL, RATE, "--search", "3", *options)
    assert (told.code, told.errors[0]) == (2, f"error: {text}")
    assert not Path("runs/sweeps").exists()


def test_a_missing_extra_and_a_metric_alone_are_told(transfer: Any, monkeypatch: Any) -> None:
    told = transfer("run", *SMALL, *BY)
    assert told.errors[0] == "error: --metric=target_val/accuracy: says what --search looks for"
    monkeypatch.setattr(searching, "find_spec", lambda name: None)
    told = transfer("run", *SMALL, RATE, "--search", "3", *BY)
    assert told.errors == ["error: --search: needs an extra: pip install 'transfer-cli[hpo]'"]


def test_another_grammar_of_intervals_is_told_ours(transfer: Any) -> None:
    told = transfer("run", *SMALL, "trainer.lr=interval(0.001,0.1)", "strategy=scratch,fine_tune", "--search", "3", *BY)
    text = "trainer.lr=interval(0.001,0.1): an interval is written 0.001..0.1, with --search"
    assert (told.code, told.errors) == (2, [f"error: {text}"])


@pytest.mark.parametrize("word", ["trainer.lr=-1..0.1", "model=mlp,nosuch"])
def test_every_end_is_checked_before_the_first_run(word: str, transfer: Any) -> None:
    told = transfer("run", "data=digits", "trainer=tiny", word, RATE.replace("lr", "momentum"), "--search", "3", *BY)
    assert told.code == 2
    assert word.split("=")[0] in told.errors[0]
    assert not Path("runs/sweeps").exists()


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_search_finds_the_bottom_of_a_bowl(sign: int) -> None:
    """A loss with its minimum at lr 0.01, a score with its maximum there. Draws without memory miss by 1.0 on average,
    ten of them by less than 0.5 with a probability of 0.3 %."""
    pytest.importorskip("optuna")
    axes = Space((), {"lr": Interval(0.001, 0.1, whole=False), "way": ("good", "bad")})

    def miss(params: dict[str, Any]) -> float:
        return abs(math.log10(params["lr"]) + 2) + (params["way"] == "bad")

    seen: list[tuple[Any, float | None]] = []
    for number in range(40):
        params = ask(axes, seen, number, lower=sign > 0)
        assert 0.001 <= params["lr"] <= 0.1
        seen.append((params, sign * miss(params) if number % 7 else None))  # some fail
    misses = [miss(params) for params, _ in seen]
    assert min(misses) < 0.05
    assert sum(misses[30:]) / 10 < 0.5
    assert ask(axes, seen[:12], 12, lower=sign > 0) == seen[12][0]  # the same ledger gives the same choice


def test_whole_numbers_and_rounding() -> None:
    pytest.importorskip("optuna")
    axes = Space((), {"steps": Interval(10, 1000, whole=True), "lr": Interval(0.001, 0.1, whole=False)})
    for number in range(5):
        params = ask(axes, [], number, lower=True)
        assert isinstance(params["steps"], int)
        assert len(f"{params['lr']}".strip("0.").replace(".", "")) <= 7


def test_what_a_run_reached(tmp_path: Path) -> None:
    rows = [
        {"stage": "pretrain", "step": 5, "source_val/accuracy": 0.9},
        {"stage": "fine_tune", "step": 2, "target_val/accuracy": 0.7},
        {"stage": "fine_tune", "step": 4, "target_val/accuracy": 0.8},
        {"stage": "fine_tune", "step": 6, "target_val/accuracy": 0.6},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for rule, step, value in (("final", 6, 0.6), ("target_val", 4, 0.8)):
        document = run("fine_tune", 0)
        document |= {"headline": {**document["headline"], "rule": rule}}
        document |= {"metrics": {rule: {**document["metrics"]["final"], "step": step}}}
        (tmp_path / "results.json").write_text(json.dumps(document))
        assert reached(tmp_path, "target_val/accuracy") == value
    assert reached(tmp_path, "source_val/accuracy") == 0.9
    with pytest.raises(ConfigError) as caught:
        reached(tmp_path, "target_val/acuracy")
    assert caught.value.faults[0].line() == (
        "--metric=target_val/acuracy: not measured by these runs, which have source_val/accuracy, target_val/accuracy; "
        "nearest: target_val/accuracy"
    )


def test_a_search_that_was_stopped_makes_the_same_choices(transfer: Any, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    words = ["run", *SMALL, "strategy=scratch", RATE, "--search", "4", *BY]
    told = transfer(*words)
    assert told.code == 0, told.err
    lines = [line.split("\t") for line in told.out.splitlines() if "\t" in line]
    assert lines[0] == ["run", "trainer.lr", "value", "state"]
    values = [float(line[2]) for line in lines[1:]]
    assert values == sorted(values, reverse=True)
    assert len(values) == 4
    assert "test was not looked at" in told.err
    assert "test/accuracy" not in told.out
    scores = re.findall(r"done  target_val/accuracy (\S+) %", told.err)  # nor on the way
    assert sorted(scores, reverse=True) == [f"{100 * value:.1f}" for value in values]
    assert not re.search(r"done  accuracy", told.err)
    (path,) = Path("runs/sweeps").glob("*/sweep.json")
    whole = json.loads(path.read_text())
    shutil.copytree("runs", "again")  # where it was killed after two runs
    (path,) = Path("again/sweeps").glob("*/sweep.json")
    path.write_text(json.dumps(whole | {"status": "running", "runs": whole["runs"][:2]}))
    told = transfer("resume", whole["id"], "--runs", "again")
    assert told.code == 0, told.err
    assert [row["words"] for row in json.loads(path.read_text())["runs"]] == [row["words"] for row in whole["runs"]]
    assert [float(line.split("\t")[2]) for line in told.out.splitlines()[1:] if "\t" in line] == values
