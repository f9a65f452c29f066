"""Runs as values: any metric is shown by the measure that travels with the run, older documents are read, views and
marks have their tables, and what cannot be read is a row that says so."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from madeup import compare, place, run, study, typed

from transfer_cli.analysis.results import Run, read
from transfer_cli.analysis.stored_scores import by_row
from transfer_cli.analysis.sweeps import Sweep, row_of
from transfer_cli.errors import ConfigError
from transfer_cli.measures import Measure
from transfer_cli.models.tensors import pack
from transfer_cli.report.model_card import model_card
from transfer_cli.report.renderers import render
from transfer_cli.report.run_screen import side_by_side
from transfer_cli.report.sweep_table import sweep_lines
from transfer_cli.report.tables import Look
from transfer_cli.report.view_tables import view_tables
from transfer_cli.rundir.schema import fault_in_results, fault_in_sweep
from transfer_cli.store.store import Store

WIDGETS = Measure(unit="dB", label="widgets", primary=True)
ERROR = Measure(lower_is_better=True, label="RMSE", primary=True)
KEY = "c" * 32


def measured(name: str, measure: Measure, value: float, strategy: str = "fine_tune", seed: int = 0) -> dict[str, Any]:
    """A run that was judged by a metric of its own."""
    found = run(strategy, seed)
    head = {"name": f"test/{name}", "rule": "final", "value": value, "ci95": None, "n": 50, "over": "test rows"}
    scores = {"final": {f"test/{name}": value}}
    ends = {"final": {f"test/{name}": [value - 1, value + 2]}}
    more = {"measures": {name: measure.as_json()}, "metrics": scores, "intervals": ends, "headline": head}
    return found | more | {"schema": "results/2", "stages": [{**found["stages"][0], "key": f"{strategy}{seed}{value}"}]}


@pytest.mark.parametrize(("measure", "best"), [(WIDGETS, "scratch"), (ERROR, "fine_tune")])
def test_a_metric_nobody_knows_is_shown_and_sorted_by_its_measure(measure: Measure, best: str) -> None:
    runs = [measured("m", measure, 12.5 + seed, "fine_tune", seed) for seed in range(2)]
    runs += [measured("m", measure, 31.25 + seed, "scratch", seed) for seed in range(2)]
    table = compare(runs)
    assert table.rows[0]["strategy"] == best
    text = render(table, "table", Look(200))
    assert measure.heading in text
    assert "%" not in text.replace("95 %", "")
    assert table.rows[0]["mean"].value == pytest.approx(31.75 if best == "scratch" else 13)


def test_widgets_have_their_unit_everywhere(transfer: Callable[..., Any], tmp_path: Path) -> None:
    one, two = measured("m", WIDGETS, 12.5), measured("m", WIDGETS, 31.25, "scratch")
    place(tmp_path / "runs", one, two)
    assert "widgets 12.5 ±1.5" in transfer("list", "--format", "table").out
    assert "widgets dB" in transfer("compare", "--all", "--format", "table").out
    shown = transfer("show", one["id"], "--format", "table").out
    assert "widgets dB" in shown
    assert "12.5 ±1.5" in shown
    assert "**widgets dB: 12.5 ±1.5** on usps" in model_card(Run.of(one))
    assert transfer("report", "--all", "-o", "page.html").code == 0
    page = (tmp_path / "page.html").read_text()
    assert "widgets dB" in page
    assert "widgets %" not in page
    assert transfer("compare", "--all", "--plot", "figure.png").code == 0
    row = {"words": ["seed=0"], "state": "done", "path": "x", "code": 0, "headline": one["headline"]}
    lines = sweep_lines("s", [row | {"measure": WIDGETS.as_json()}], None, Look(100), 9)
    assert "widgets dB" in lines[1]


def test_an_older_document_is_read_by_the_legacy_table() -> None:
    found = Run.of(run())
    assert found.measure("f1").heading == "macro F1 %"
    assert found.measure("recall/cat").heading == "recall/cat %"
    assert (found.measure("nll").sign, found.measure("accuracy").sign) == (1, -1)
    assert found.measure("target_val/nll").is_share is False
    assert found.measure("unheard_of").is_share


def test_what_a_new_document_does_not_declare_is_a_plain_number() -> None:
    assert Run.of(measured("m", ERROR, 3.0)).measure("other") == Measure(label="other", shown=False)


VIEWS = [
    {"net": "final", "view": "domain sketch", "task": "classify", "metric": "test/accuracy", "value": 0.5, "n": 80}
    | {"lo": 0.4, "hi": 0.6},
    {"net": "final", "view": "domain sketch", "task": "classify", "metric": "test/nll", "value": 1.25},
    {"net": "final", "view": "attack fgsm 0.1", "task": "classify", "metric": "test/accuracy", "value": 0.25, "n": 80},
    {"net": "at_10", "view": "test", "task": "classify", "metric": "accuracy", "value": 0.75, "lo": 0.7, "hi": 0.8},
    {"net": "at_2", "view": "test", "task": "classify", "metric": "accuracy", "value": 0.625, "lo": 0.6, "hi": 0.65},
]


def test_views_and_marks_have_a_table_each(transfer: Callable[..., Any], tmp_path: Path) -> None:
    found = run() | {"views": VIEWS}
    found["metrics"]["at_3"] = {"test/accuracy": 0.7, "test/accuracy_ci95": 0.01, "step": 300}
    views, marks = view_tables(Run.of(found))
    assert [row["view"] for row in views.rows] == ["domain sketch", "attack fgsm 0.1"]
    assert render(views, "table", Look()).splitlines()[2].split() == ["domain", "sketch", "50", "±10", "1.25", "80"]
    assert [(row["net"], row["step"]) for row in marks.rows] == [("at_2", None), ("at_3", 300), ("at_10", None)]
    assert "at_3" not in render(side_by_side(Run.of(found)), "table", Look(200))
    assert "At the marks of the training" in model_card(Run.of(found))
    place(tmp_path / "runs", found)
    assert "attack fgsm 0.1" in transfer("show", found["id"], "--format", "table").out
    assert transfer("report", "--all", "-o", "page.html").code == 0
    assert "attack fgsm 0.1" in (tmp_path / "page.html").read_text()


def test_without_views_nothing_is_said() -> None:
    assert view_tables(Run.of(run())) == []
    assert "Views" not in model_card(Run.of(run()))


def test_two_judges_never_share_a_table() -> None:
    one, two = run("scratch") | {"judge": "a" * 64}, run("fine_tune") | {"judge": "b" * 64}
    text = rf"accuracy was not judged by the same net: {one['id']} by aaaaaaaa; {two['id']} by bbbbbbbb"
    with pytest.raises(ConfigError, match=text):
        study([one, two])
    assert len(study([one, two | {"judge": one["judge"]}]).done) == 2


def stored(runs: Path, name: str, tensor: torch.Tensor, value: float) -> Run:
    """A run whose evaluation keeps this tensor."""
    with Store(runs / ".store").claim(KEY, owner="runs/x") as claim:
        claim.put_json("stage.json", {"method": "none", "identity": {}})
        claim.put_json("results.json", {"rules": {"final": {"scores": "final"}}, "headline": "final"})
        claim.put("scores-final.safetensors", pack({name: tensor}, {}))
        claim.finish()
    found = measured("m", ERROR, value)
    found["stages"][0]["key"] = KEY
    place(runs, found)
    return read(next(runs.glob("fine_tune-*/*")))


def test_rows_of_a_mean_are_taken_as_they_are(tmp_path: Path) -> None:
    found = stored(tmp_path, "row.m", torch.tensor([1.0, 2.0, 6.0]), 3.0)
    assert by_row(found, "m", "final") == [1, 2, 6]
    assert by_row(found, "other", "final") is None


def test_rows_of_a_ratio_are_linearised(tmp_path: Path) -> None:
    """The mean of R + (y - R x) / mean(x) is R, and its variance that of Cochran 1977, equation 6.13, without the
    correction for finite populations."""
    pairs = torch.tensor([[1.0, 2.0], [3.0, 4.0], [2.0, 2.0], [0.0, 1.0]], dtype=torch.float64)
    ratio = float(pairs[:, 0].sum() / pairs[:, 1].sum())
    rows = np.array(by_row(stored(tmp_path, "row.m", pairs, ratio), "m", "final"))
    assert rows.mean() == pytest.approx(ratio)
    residuals = (pairs[:, 0] - ratio * pairs[:, 1]).numpy()
    assert rows.var(ddof=1) == pytest.approx((residuals**2).sum() / 3 / pairs[:, 1].mean().item() ** 2)


@pytest.mark.parametrize("bad", [torch.ones(3, 3), torch.zeros(3, 2), torch.tensor([1.0, float("nan")]), torch.ones(0)])
def test_tensors_that_are_no_rows_are_none(tmp_path: Path, bad: torch.Tensor) -> None:
    assert by_row(stored(tmp_path, "row.m", bad, 1.0), "m", "final") is None


def nested(levels: int) -> dict[str, Any]:
    return {"x": nested(levels - 1)} if levels else {}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"metrics": {"final": {"test/accuracy": "0.9"}}}, "metrics: not a number"),
        ({"metrics": {"final": {"test/accuracy": 10**400}}}, "metrics: not a number"),
        ({"headline": {"name": "test/f2", "rule": "final", "value": 1.0}}, "headline: not among the metrics"),
        ({"stages": [{"name": "evaluate\x1b"}]}, "stages.key: missing"),
        ({"status": "great"}, "status: no such state"),
        ({"config": {"seed": "0"}}, "config.seed: not a whole number"),
        ({"config": {"trainer": {"lr": float("inf")}}}, "config: not a number"),
        ({"config": {"trainer": {"steps": 10**30}}}, "config: not a number"),
        ({"config": {"trainer": [[10**30]]}}, "config: not a number"),
        ({"fingerprints": nested(30)}, "fingerprints: nested too deep"),
        ({"words": "seed=0"}, "words: not a list"),
        ({"views": [{"net": 3}]}, "views.view: missing"),
        ({"measures": {"m": {"unit": 3}}}, "measures.unit: not a printable text"),
    ],
)
def test_what_is_wrong_is_said_by_its_place(change: dict[str, Any], fault: str) -> None:
    assert fault_in_results(run()) == ""
    assert fault_in_results(run() | change) == fault


def test_an_unreadable_run_is_a_row_of_list_and_compare(transfer: Callable[..., Any], tmp_path: Path) -> None:
    good, bad = run("scratch"), run("fine_tune")
    place(tmp_path / "runs", good, bad | {"cost": {"seconds": "long"}})
    rows = {row["run"]: row for row in json.loads(transfer("list", "--json").out)["rows"]}
    assert (rows[bad["id"]]["state"], rows[bad["id"]]["why"]) == ("unreadable", "cost: not a number")
    assert rows[good["id"]]["state"] == "done"
    found = transfer("compare", "--all", "--json")
    assert [row.get("state") for row in json.loads(found.out)["rows"]] == [None, "unreadable: cost: not a number"]
    assert f"run {bad['id']}: left out, its results.json cannot be read: cost: not a number" in found.err
    assert transfer("predict", bad["id"], "x.png").code == 2
    resumed = transfer("resume", bad["id"])
    assert (resumed.code, "cannot be resumed: cost: not a number" in resumed.err) == (2, True)


def test_a_sweep_is_a_value_too() -> None:
    row = {"words": ["seed=0"], "state": "done", "path": "a/b", "code": 0, "headline": run()["headline"]}
    found = {"id": "s12345", "status": "done", "path": "runs/sweeps/s12345", "words": ["seed=0..1"], "runs": [row]}
    assert fault_in_sweep(found) == ""
    assert Sweep.of(found).rows[0].score == row_of(row).score
    assert row_of(row).score == Run.of(run()).headline.metric  # type: ignore[union-attr]
    assert fault_in_sweep(found | {"runs": [{**row, "state": 3}]}) == "runs.state: no such state"


def test_runs_without_a_headline_are_left_out_of_a_comparison() -> None:
    found = study([run("scratch"), run("fine_tune", headline=None)])
    assert ([group.run.choices["strategy"] for group in found.done], len(found.ruled_out)) == (["scratch"], 1)
    assert typed([run()])[0].is_done
