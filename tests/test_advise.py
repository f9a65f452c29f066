"""transfer advise: the right pair is taken, a source that hurts is said to, test is read at the end only, the same
command goes on and then answers at once."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from transfer_cli.legacy_measures import MEASURES
from transfer_cli.report.advice import Entry, interval, judged, sentences
from transfer_cli.runner import successive_halving, sweep
from transfer_cli.runner.single_run import work
from transfer_cli.signals import Stop

Transfer = Callable[..., Any]


def clouds(seed: int, rows: int, *, wrong: bool = False) -> dict[str, np.ndarray]:
    """Three classes that lie apart in 3 of 40 columns; the others are noise. `wrong`: labels say where a row lies in
    the noise."""
    draw = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    features = draw.normal(size=(rows, 40)) * np.where(np.arange(40) < 3, 1.0, 2.0)
    features[:, :3] += 3.0 * np.eye(3)[labels]
    if wrong:
        labels = features[:, 3:6].argmax(1)
    return {"features": features.astype(np.float32), "labels": labels}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: Any) -> Path:
    """target.npz with near.npz, a source of the same classes, and wrong.npz, one that teaches to look at noise. Runs
    are computed in this process, without figures, on one or two folds."""
    for name, seed, rows, wrong in (("target", 0, 300, False), ("near", 1, 900, False), ("wrong", 2, 900, True)):
        np.savez(tmp_path / f"{name}.npz", **clouds(seed, rows, wrong=wrong))
    monkeypatch.setattr(sweep, "is_cached", lambda made, runs: True)
    monkeypatch.setattr(sweep, "write_artifacts", lambda run: None)
    monkeypatch.setattr(successive_halving, "ENOUGH", (1, 1, 1))
    monkeypatch.setattr(successive_halving, "LEAST", (1, 1, 2))
    return tmp_path


def advise(transfer: Transfer, folder: Path, sources: str, *more: str, shots: int = 20) -> Any:
    named = ",".join("none" if name == "none" else f"{folder}/{name}.npz" for name in sources.split(","))
    words = (
        "trainer.steps=36",
        "trainer.batch=32",
        "pretrain.trainer.steps=150",
        "trainer.lr=0.05",
        "runtime.threads=1",
    )
    asked = (f"data={folder}/target.npz", f"data.shots={shots}", f"source={named}", *words, "runtime=cpu")
    return transfer("advise", *asked, "strategy=linear_probe", "--budget", "1h", *more)


def test_the_near_source_is_taken_and_test_is_read_by_two_runs_at_the_end(
    transfer: Transfer, folder: Path, monkeypatch: Any
) -> None:
    told = advise(transfer, folder, "none,near,wrong", "--json")
    assert told.code == 0, told.err
    found = json.loads(told.out)
    assert "near.npz" in found["take"]
    assert {row["strategy"] for row in found["rows"]} >= {"scratch"}
    assert any("wrong.npz" in each["words"] for each in found["not_tried"])
    assert any(note.startswith("TAKE mlp_vectors near.npz, linear_probe: accuracy % ") for note in found["notes"])
    assert found["next"] == f"transfer run {found['take']}"
    (ledger,) = Path("runs/sweeps").glob("*/sweep.json")
    rows = json.loads(ledger.read_text())["runs"]
    tested = [row["trial"][2] is None for row in rows]
    assert tested == [False] * (len(rows) - 2) + [True] * 2
    for row in rows[:-2]:
        plans = (Path("runs") / row["path"] / "plan.json").read_text()
        assert '"test"' not in plans
    with monkeypatch.context() as patched:  # the same command again computes and plans nothing
        patched.setattr(sweep.SweepRunner, "complete", lambda *any: pytest.fail("a finished race was run"))
        assert json.loads(advise(transfer, folder, "none,near,wrong", "--json").out) == found


def test_a_source_that_hurts_is_said_to(transfer: Transfer, folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(
        successive_halving, "LEAST", (1, 1, 4)
    )  # folds and rows enough to show that the difference is real
    told = advise(transfer, folder, "none,wrong", "--format", "md", shots=80)
    assert told.code == 0, told.err
    assert "WARNING nothing beats scratch: transfer hurts here" in told.out
    assert "TAKE mlp_vectors none, scratch" in told.out
    assert "always answering" in told.out
    assert "firm?  it led 100 of 100 resamplings of 4 folds" in told.out
    assert "next  transfer run strategy=scratch source=none" in told.out + told.err


@pytest.mark.slow
def test_who_interrupts_sees_the_best_so_far_and_goes_on_to_the_same_advice(
    transfer: Transfer, folder: Path, monkeypatch: Any
) -> None:
    whole = json.loads(advise(transfer, folder, "none,near", "--json", "--runs", "whole").out)
    begun: list[Any] = []

    def interrupted(made: Any, run: Any, options: Any, talk: Any, stop: Stop) -> Any:
        begun.append(run)
        if len(begun) == 4:
            stop.signum = 2
        return work(made, run, options, talk, stop)

    with monkeypatch.context() as patched:
        patched.setattr(sweep, "work", interrupted)
        told = advise(transfer, folder, "none,near", "--json")
    assert told.code == 130
    assert "interrupted: the best so far" in json.loads(told.out)["notes"]
    (ledger,) = Path("runs/sweeps").glob("*/sweep.json")
    told = transfer("resume", json.loads(ledger.read_text())["id"], "--json")
    assert told.code == 0, told.err
    again = json.loads(told.out)
    assert again["take"].endswith("near.npz")
    assert [(row["source_model"], row["strategy"], row["folds"]) for row in again["rows"]] == [
        (row["source_model"], row["strategy"], row["folds"]) for row in whole["rows"]
    ]
    assert [row["mean"] for row in again["rows"]] == [row["mean"] for row in whole["rows"]]


def entry(name: str, *values: float, scratch: bool = False, why: str = "") -> Entry:
    folds = dict(enumerate(values))
    score = sum(values) / len(values) if values else None
    return Entry(name, "scratch" if scratch else "full", f"source={name}", scratch, folds, score, why=why)


def told_of(*entries: Entry, metric: str = "accuracy") -> str:
    facts: dict[str, Any] = {"folds": 5, "rows": 40, "counts": {"ant": 120, "bee": 80}}
    return "\n".join(sentences(judged(entries, MEASURES[metric], of_right_rows=metric == "accuracy", **facts)))


def test_what_is_real_what_is_not_and_what_hurts() -> None:
    good, near = entry("good", 0.9, 0.92, 0.91, 0.93, 0.9), entry("near", 0.91, 0.9, 0.92, 0.9, 0.91)
    scratch = entry("none", 0.5, 0.55, 0.52, 0.5, 0.53, scratch=True)
    text = told_of(scratch, near, good, entry("slow", why="not begun: budget"))
    assert text.startswith("TAKE good, full: accuracy % 91")
    assert "runner-up near, full: -0.4 ±" in text
    assert "not shown worse" in text
    assert "scratch: -39" in text
    assert "so transfer helps" in text
    assert "out, not begun: budget: slow, full" in text
    assert "the difference is real" in told_of(good, scratch)
    like = entry("none", 0.9, 0.93, 0.9, 0.92, 0.91, scratch=True)
    assert "WARNING not shown better than scratch" in told_of(good, like, near)
    one = entry("none", 0.8, scratch=True)
    assert "WARNING not shown better than scratch: one fold judged both" in told_of(good, one)
    assert "WARNING nothing beats scratch: transfer is not shown to help" in told_of(entry("x", 0.9, 0.9, 0.9), like)
    assert "WARNING no source was judged in time" in told_of(like, entry("slow", why="not begun: budget"))
    better = entry("none", 0.9, 0.92, 0.91, 0.93, 0.9, scratch=True)
    assert "WARNING nothing beats scratch: transfer hurts here" in told_of(
        entry("bad", 0.5, 0.55, 0.52, 0.5, 0.53), better
    )
    assert told_of(good, scratch, metric="nll").startswith("TAKE none, scratch")
    assert told_of(entry("slow", why="not begun: budget")).startswith("no run was done in time")


def test_a_cheaper_pair_that_was_taken_is_said_to_be() -> None:
    first = replace(entry("first", 0.84, 0.80, 0.86, 0.78, 0.82), cost=20.0)
    pick = replace(entry("pick", 0.80, 0.83, 0.80, 0.82, 0.79), cost=2.0, taken=True)
    text = told_of(first, pick, entry("scratch", 0.50, 0.52, 0.49, 0.51, 0.50, scratch=True))
    assert "TAKE pick, " in text
    assert "first, " in text.partition("TAKE pick")[2]
    assert "is first: the pick is at -1.2 ±" in text
    assert "within a standard error, and 10x cheaper" in text
    gaps = [a - b for a, b in zip((0.50, 0.52, 0.49, 0.51, 0.50), (0.80, 0.83, 0.80, 0.82, 0.79), strict=True)]
    assert f"scratch: {100 * sum(gaps) / 5:.1f}" in text  # against the pick


def test_the_most_frequent_class_is_told_and_who_is_not_above_it_is_warned() -> None:
    good = entry("good", 0.9, 0.92, 0.91, 0.93, 0.9)
    assert "\nalways answering ant, the most frequent class: 60.0 %" in told_of(good)
    warning = "WARNING not shown better than always answering ant, the most frequent class: 60.0 %"
    assert warning in told_of(entry("poor", 0.61, 0.5, 0.7, 0.62, 0.64))
    assert warning in told_of(entry("one", 0.6))
    assert "always answering" not in told_of(good, metric="nll")


def test_how_firm_it_is() -> None:
    """On two of three folds it is ahead, on the third far behind: of 27 draws it leads in the one without the third
    fold twice over (8) and in those with it once (12), for 2 x 0.04 > 0.06."""
    first, second = entry("first", 0.94, 0.94, 0.90), entry("second", 0.90, 0.90, 0.96)
    assert "firm?  it led 74 of 100 resamplings of 3 folds, it or its equal 100" in told_of(first, second)
    ahead, far = entry("ahead", 0.94, 0.94, 0.95), entry("far", 0.50, 0.51, 0.49)
    assert "firm?  it led 100 of 100 resamplings of 3 folds, it or its equal 100" in told_of(ahead, far)
    assert "firm?  not to be said: judged by 2 folds that all have" in told_of(first, entry("short", 0.9, 0.91))
    assert "firm?" not in told_of(first)


def test_folds_overlap_so_their_interval_is_wider_than_that_of_seeds() -> None:
    """Nadeau & Bengio 2003: the variance of the mean is (1/k + 1/(k-1)) of that of the values."""
    values = [0.9, 0.92, 0.91, 0.93, 0.9]
    half = stats.t.ppf(0.975, 4) * np.std(values, ddof=1) * math.sqrt(1 / 5 + 1 / 4)
    assert interval(entry("good", *values), 5).half == pytest.approx(half)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (("source=none",), "advise: needs a target"),
        (("digits", "usps"), "digits usps: advise takes one DATA"),
        (("digits", "--budget", "soon"), "--budget=soon: a time: 90s, 15m, 1h30m"),
    ],
)
def test_what_is_wrong_is_told(argv: tuple[str, ...], text: str, transfer: Transfer) -> None:
    told = transfer("advise", *argv)
    assert (told.code, told.errors[0]) == (2, f"error: {text}")
