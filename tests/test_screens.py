"""The results of a run, its plan and its card, from results.json alone."""

import io
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from transfer_cli.analysis.results import Run
from transfer_cli.report import run_screen
from transfer_cli.report.model_card import model_card
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Look

RESULTS: dict[str, Any] = {
    "id": "k7q2md",
    "status": "done",
    "started": "2026-11-22T10:15:02Z",
    "words": ["strategy=coral", "source=mnist", "data=usps", "seed=3"],
    "choices": {"strategy": "coral", "source": "mnist", "data": "usps", "model": "lenet"},
    "config": {"seed": 3, "weights": "none"},
    "stages": [
        {"name": "pretrain", "method": "supervised", "what": "supervised, mnist", "key": "a" * 32, "seconds": 221.0},
        {"name": "align", "method": "coral", "what": "coral, mnist + usps", "key": "b" * 32, "seconds": 159.0},
        {"name": "fine_tune", "method": "none", "what": "none", "key": "", "seconds": 0.0},
        {"name": "evaluate", "method": "none", "what": "usps test 2,007", "key": "c" * 32, "seconds": 2.0},
    ],
    "metrics": {
        "source_val": {"test/accuracy": 0.916, "test/accuracy_ci95": 0.0122, "test/nll": 0.31, "step": 1640},
        "final": {"test/accuracy": 0.909, "test/accuracy_ci95": 0.0126, "test/nll": 0.33, "step": 2000},
    },
    "headline": {"name": "test/accuracy", "rule": "final", "value": 0.909, "ci95": 0.0126, "n": 2007,
                 "over": "test pictures"},
    "cost": {
        "seconds": 382.0,
        "seconds_cached": 221.0,
        "trained": 1_230_000,
        "parameters": 1_230_000,
        "peak_bytes": 912_000_000,
        "labels": 0,
    },
    "fingerprints": {"target": "1f3a9c0b" * 8, "source": "77aa01de" * 8, "test": {}},
    "versions": {"torch": "2.14.1"},
    "notes": ["mnist: train 10,000 of 60,000"],
}  # fmt: skip


def shown(results: dict[str, Any], **changed: Any) -> str:
    screen = Screen(io.StringIO(), io.StringIO(), **changed)
    run_screen.results(Run.of(results), screen, Path("runs/coral-usps/x-k7q2md"))
    return str(screen.out.getvalue())  # type: ignore[attr-defined]


def test_the_results_screen() -> None:
    assert shown(RESULTS).splitlines() == [
        "usps test, 2,007 pictures     final*  source_val",
        "accuracy %                 90.9 ±1.3   91.6 ±1.2",
        "NLL                            0.330       0.310",
        "at step                        2,000       1,640",
        "* the headline.  target_val: not kept by the last stage",
        "± 95 % over these test pictures; one seed says nothing about other seeds",
        "mnist: train 10,000 of 60,000",
        "cost  6m 22s (2m 41s now, 3m 41s cached)  1.2 M trained  0 target labels  0.9 GB",
        "run   k7q2md  runs/coral-usps/x-k7q2md",
        "next  transfer run strategy=none,coral source=mnist data=usps --seeds 5",
    ]


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_no_fact_of_the_results_is_lost(width: int) -> None:
    text = " ".join(shown(RESULTS, look=Look(width)).split())
    for fact in ("90.9 ±1.3", "91.6 ±1.2", "0.330", "1,640", "6m 22s (2m 41s now, 3m 41s cached)", "1.2 M", "0.9 GB"):
        assert fact in text
    assert "transfer run strategy=none,coral source=mnist data=usps --seeds 5" in shown(RESULTS, look=Look(width))


def test_the_oracle_stands_in_brackets_and_is_said_to_be_no_result() -> None:
    results = deepcopy(RESULTS)
    results["metrics"]["oracle"] = {"test/accuracy": 0.929, "test/accuracy_ci95": 0.011, "step": 1320}
    text = shown(results)
    assert "(92.9 ±1.1)" in text
    assert "in brackets: picked on test, no result" in text


def test_a_pipe_gets_a_line_a_metric_and_rule() -> None:
    lines = [line.split("\t") for line in shown(RESULTS, format="tsv").splitlines()]
    assert lines[0] == ["metric", "rule", "value", "lo", "hi", "n", "run"]
    assert lines[1][:3] == ["test/accuracy", "final", "0.909"]
    assert [float(end) for end in lines[1][3:5]] == pytest.approx([0.8956, 0.9208], abs=1e-4)  # Wilson's, not 0.909 ±
    assert [line[:2] for line in lines[2:]] == [
        ["test/nll", "final"],
        ["test/accuracy", "source_val"],
        ["test/nll", "source_val"],
    ]


@pytest.mark.parametrize(("over", "lo", "hi"), [("test pictures", 0.883, 1.0), ("draws of 5-way 1-shot", 0.942, 1.0)])
def test_no_interval_of_a_share_leaves_0_to_1(over: str, lo: float, hi: float) -> None:
    results = deepcopy(RESULTS)
    results["metrics"] = {"final": {"test/accuracy": 1.0, "test/accuracy_ci95": 0.058}}
    results["headline"] |= {"ci95": 0.058, "n": 29, "over": over}
    _, line = (line.split("\t") for line in shown(results, format="tsv").splitlines())
    assert [float(end) for end in line[3:5]] == pytest.approx([lo, hi], abs=1e-3)
    assert "±5.8" in shown(results)


def test_json_is_results_json_and_quiet_is_the_path() -> None:
    assert json.loads(shown(RESULTS, format="json")) == RESULTS
    assert shown(RESULTS, quiet=True) == "runs/coral-usps/x-k7q2md\n"


@pytest.mark.parametrize(
    ("words", "strategy", "labels", "command"),
    [
        (["data=usps"], "fine_tune", 100, "transfer run strategy=scratch,fine_tune data=usps --seeds 5"),
        (["experiment=hello"], "fine_tune", 100, "transfer run experiment=hello --seeds 5"),
        (["strategy=scratch", "data=usps"], "scratch", 9, "transfer run strategy=scratch data=usps --seeds 5"),
        (["data=./my pics", "weights=imagenet"], "fine_tune", 9,
         "transfer run strategy=linear_probe,fine_tune 'data=./my pics' weights=imagenet --seeds 5"),
        (["align.weight=0.3", "strategy=coral"], "coral", 0, "transfer run align.weight=0.3 strategy=coral --seeds 5"),
        (["strategy=none"], "none", 0, "transfer show k7q2md"),
    ],
)  # fmt: skip
def test_the_next_command_can_be_run(words: list[str], strategy: str, labels: int, command: str) -> None:
    results = RESULTS | {"words": words, "choices": RESULTS["choices"] | {"strategy": strategy}}
    assert run_screen.next_command(Run.of(results | {"cost": {"labels": labels}})) == command


def test_the_first_line_says_what_was_taken() -> None:
    assert run_screen.header(Run.of(RESULTS)) == "coral  mnist → usps   lenet, weights none   seed 3   run k7q2md"
    base = RESULTS | {"choices": RESULTS["choices"] | {"source": "base"}}
    assert run_screen.header(Run.of(base)).startswith("coral  usps (source: its other classes)   lenet")


def test_how_a_run_of_a_sweep_ended() -> None:
    assert run_screen.scored(Run.of(RESULTS)) == "done  accuracy 90.9 ±1.3 %  6m 22s"
    assert run_screen.scored(Run.of(RESULTS | {"headline": None})) == "done  no evaluation"


def test_the_plan_says_what_is_cached_and_what_it_will_take() -> None:
    screen = Screen(io.StringIO(), io.StringIO())
    rows = [
        {"stage": "pretrain", "state": "cached", "what": "supervised", "size": 1_700_000, "seconds": None, "key": "a"},
        {"stage": "align", "state": "none", "what": "none", "size": 0, "seconds": 0.0, "key": ""},
        {"stage": "fine_tune", "state": "to do", "what": "full", "size": None, "seconds": 10.2, "key": "b"},
        {"stage": "evaluate", "state": "to do", "what": "usps", "size": None, "seconds": None, "key": "c"},
    ]
    run_screen.plan(rows, ["to do ~12 s"], screen, next="transfer run data=usps")
    assert [line.split() for line in screen.out.getvalue().splitlines()] == [  # type: ignore[attr-defined]
        ["stage", "what", "state", "size", "time"],
        ["pretrain", "supervised", "cached", "1.7", "MB"],
        ["align", "none"],
        ["fine_tune", "full", "to", "do", "~10", "s"],
        ["evaluate", "usps", "to", "do", "unknown"],
        ["to", "do", "~12", "s"],
        ["next", "transfer", "run", "data=usps"],
    ]


def test_the_card_holds_facts_and_says_what_is_not_recorded() -> None:
    card = model_card(Run.of(RESULTS))
    assert "# coral, mnist → usps" in card
    assert (
        "**accuracy %: 90.9 ±1.3** on usps, rule final, ± 95 % over 2,007 test pictures. One seed: other seeds differ."
        in card
    )
    assert "| pretrain | supervised, mnist | aaaaaaaaaaaa | 3m 41s |" in card
    assert "- of them trained: 1,230,000" in card
    assert "- test pictures a second: not recorded" in card
    assert "- mnist: train 10,000 of 60,000" in card
    assert "    transfer run strategy=coral source=mnist data=usps seed=3" in card
    assert "- versions: torch 2.14.1" in card


def test_hostile_class_names_stay_text_in_the_card() -> None:
    results = deepcopy(RESULTS)
    name = "<img src=x onerror=alert(1)>|\x1b[2J`a`"
    results["metrics"]["final"] |= {f"test/{kind}/{name}": 0.5 for kind in ("precision", "recall", "f1")}
    card = model_card(Run.of(results))
    assert "| &lt;img src=x onerror=alert(1)&gt;\\|\\\\x1b\\[2J\\`a\\` | 50.0 | 50.0 | 50.0 |" in card
    assert "<img" not in card


def test_a_run_without_evaluation_has_a_card() -> None:
    card = model_card(Run.of(RESULTS | {"metrics": {}, "headline": None, "cost": {}, "versions": {}}))
    assert "No result: this run was not evaluated." in card
    assert "- parameters: not recorded" in card
