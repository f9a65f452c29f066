"""`weights=RUN`: the net of a finished run as the start of another, by id, path and whatever rule it handed on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Transfer = Callable[..., Any]
DIGITS = ("data=digits", "source=digits", "trainer=tiny")
EPISODES = "evaluate={way: 2, shots: 2, queries: 2, draws: 5}"


@pytest.fixture
def learnt(transfer: Transfer) -> Path:
    """A run whose net was chosen by source_val."""
    told = transfer("run", "-q", "strategy=knn", "model=mlp", *DIGITS)
    assert told.code == 0, told.err
    return Path(told.out.strip())


def results(told: Any) -> dict[str, Any]:
    assert told.code == 0, told.err
    return dict(json.loads((Path(told.out.strip()) / "results.json").read_text()))


@pytest.mark.parametrize("words", [["strategy=knn"], ["strategy=none"], ["strategy=few_shot", EPISODES]])
def test_a_run_that_is_only_evaluated_again(words: list[str], learnt: Path, transfer: Transfer) -> None:
    key = json.loads((learnt / "results.json").read_text())["stages"][0]["key"]
    found = results(transfer("run", "-q", f"weights={learnt.name[-6:]}", "data=digits", "trainer=tiny", *words))
    assert found["headline"]["rule"] == "source_val"
    assert found["stages"][0]["key"] == key
    assert found["stages"][0]["cached"]
    assert found["config"]["model"]["family"] == "mlp"  # the run's, not the data's default


def test_what_run_q_prints_is_a_reference(learnt: Path, transfer: Transfer) -> None:
    found = results(transfer("run", "-q", f"weights={learnt}", "strategy=linear_probe", "data=digits"))
    assert found["stages"][0]["what"] == f"run {learnt.name[-6:]}"


@pytest.mark.parametrize(
    ("word", "differs"), [("model=conv4", "dropout, family"), ("model=mlp model.hidden=[9]", "hidden")]
)
def test_another_model_is_refused_before_anything_is_computed(
    word: str, differs: str, learnt: Path, transfer: Transfer
) -> None:
    told = transfer("run", f"weights={learnt.name[-6:]}", *word.split(), "strategy=none", "data=digits")
    assert told.code == 5
    assert told.err.startswith(f"error: model: the net of run {learnt.name[-6:]} is a mlp with another ")
    assert all(part in told.err for part in differs.split(", ")[-1:])
    assert "do: leave model out, or say model=mlp" in told.err


def test_input_may_change_where_the_net_does_not(learnt: Path, transfer: Transfer) -> None:
    told = transfer(
        "run", "-q", f"weights={learnt}", "model=mlp", "model.input.mean=[0.4]", "strategy=none", "data=digits"
    )
    assert results(told)["config"]["model"]["input"]["mean"] == [0.4]
