"""compare: what is one group, what counts, what is said about seeds, and what it refuses."""

import io
import json

import pytest
from madeup import compare, grouped, run, seeds, typed
from scipy import stats

from transfer_cli.analysis import run_labels
from transfer_cli.analysis.results import Run
from transfer_cli.errors import ConfigError
from transfer_cli.report.renderers import render
from transfer_cli.report.tables import Look


def test_seeds_are_one_group_with_a_t_interval() -> None:
    values = [0.90, 0.92, 0.95]
    (row,) = compare(seeds("fine_tune", *values)).rows
    lo, hi = stats.t.interval(0.95, 2, loc=sum(values) / 3, scale=stats.sem(values))
    assert row["mean"] == pytest.approx((sum(values) / 3, lo, hi))
    assert (row["n"], row["n_failed"], row["cost"]) == (3, 0, 61.0)
    assert row["sd"] == pytest.approx(0.0251661147842)


def test_the_screen_of_a_sweep() -> None:
    runs = [*seeds("scratch", 0.70, 0.74, 0.72), *seeds("fine_tune", 0.90, 0.92, 0.91)]
    lines = render(compare(runs), "table", Look()).splitlines()
    assert lines[0] == "mnist → usps, lenet, test accuracy %, rule final, ± 95 % over seeds"
    assert lines[1].split() == ["strategy", "n", "accuracy", "%", "delta", "p", "Holm", "verdict", "cost"]
    assert lines[2].split() == ["fine_tune", "3", "91.0", "±2.5", "+19.0", "±2.5", "<.001", "better", "1m", "01s", "P"]
    assert lines[3].split() == ["scratch", "3", "72.0", "±5.0", "baseline", "1m", "01s"]
    assert lines[4:6] == ["P: nothing else is better and cheaper", "delta, p: paired by seed"]
    assert lines[-1] == f"next  transfer show {runs[3]['id']}"
    assert all(len(line) <= 80 for line in lines)


def test_a_single_seed_is_said_to_be_single() -> None:
    table = compare([run("scratch", 0, 0.7), run("fine_tune", 0, 0.9)])
    text = render(table, "table", Look(200))
    assert "one seed each, ± 95 % over test pictures" in text
    assert "NO CONCLUSION: one seed each; how much seeds move it is not known, 8 seeds tell" in text
    assert "90.0 ±1.3" in text
    assert table.next == "transfer run strategy=fine_tune,scratch source=mnist data=usps --seeds 8"


def test_one_seed_among_many_has_no_interval_and_is_named() -> None:
    table = compare([*seeds("scratch", 0.7, 0.72), run("fine_tune", 0, 0.9)])
    assert "fine_tune: one seed, so nothing is known about other seeds" in table.notes
    text = render(table, "tsv").splitlines()
    head, first = text[0].split("\t"), text[1].split("\t")
    assert dict(zip(head, first))["lo"] == ""
    assert dict(zip(head, first))["mean"] == "0.9"
    assert " ±1.3" not in render(table, "table", Look())


def test_typed_words_that_differ_are_all_named_and_consequences_are_not() -> None:
    runs = [run("fine_tune", trainer__steps=500), run("linear_probe", trainer__steps=100)]
    assert run_labels.differing(typed(runs)) == ["strategy", "trainer.steps"]
    assert run_labels.differing(typed([run("fine_tune"), run("linear_probe")])) == ["strategy"]


def test_a_difference_nobody_typed_is_found() -> None:
    one, other = run(), run()
    other["config"]["data"]["shots"] = 25
    assert run_labels.differing(typed([one, other])) == ["data.shots"]


def test_seed_and_runtime_make_no_group() -> None:
    assert len(grouped([run(seed=0), run(seed=1), run(seed=2)])) == 1
    assert len(grouped([run(seed=0), run(seed=1, data__shots=5)])) == 2


def test_a_result_counts_once() -> None:
    again = [run("fine_tune", 0, 0.9), run("fine_tune", 0, 0.9), run("fine_tune", 1, 0.8)]
    (row,) = compare(again).rows
    assert row["n"] == 2
    assert [seed["seed"] for seed in row["seeds"]] == [0, 1]


def test_seeds_that_change_nothing_are_one_result() -> None:
    stages = [{"name": "evaluate", "key": "same"}]
    table = compare([run(seed=seed, stages=stages) for seed in range(3)])
    (row,) = table.rows
    assert row["n"] == 1
    assert "fine_tune: seeds 0, 1, 2 gave the same result, which counts once" in table.notes
    assert row["mean"] == pytest.approx((0.9, 0.8861, 0.9124), abs=1e-4)  # Wilson's


def test_code_that_changed_between_two_runs_of_a_seed_is_said() -> None:
    old, new = run("fine_tune", 0, 0.8), run("fine_tune", 0, 0.9)
    table = compare([new, old, *seeds("scratch", 0.1, 0.2)])
    assert table.rows[0]["mean"].value == 0.9
    assert "fine_tune: code or data changed between runs of seed 0; the newest counts" in table.notes


def test_failed_and_unfinished_runs_are_counted_and_named() -> None:
    runs = seeds("fine_tune", 0.9, 0.92)
    died = run("fine_tune", 5, status="died", headline=None)
    runs += [run("fine_tune", 3, status="failed", headline=None), run("fine_tune", 1, status="failed"), died]
    table = compare([*runs, *seeds("scratch", 0.1, 0.2)])
    assert (table.rows[0]["of"], table.rows[0]["n"], table.rows[0]["n_failed"]) == ("2/3", 2, 1)
    assert "fine_tune: seed 3 failed, the mean of survivors flatters" in table.notes
    assert f"fine_tune: left out, not done: {died['id']}" in table.notes


def test_a_group_without_a_result_stands_last() -> None:
    table = compare([run("scratch", status="failed", headline=None), *seeds("fine_tune", 0.9, 0.91)])
    assert [row["strategy"] for row in table.rows] == ["fine_tune", "scratch"]
    assert table.rows[1]["mean"] is None
    assert "0/1" in render(table, "table", Look())


def test_nothing_done_is_said() -> None:
    table = compare([run(status="failed", headline=None)])
    assert (table.title, table.next) == ("no run of these is done", "")
    assert table.notes == ["fine_tune: seed 0 failed"]


def test_different_test_pictures_never_share_a_table() -> None:
    one, two = run(), run("scratch")
    other = run(fingerprints={"test": {"data": "1f3a", "classes": ["0"]}})
    other["choices"]["data"] = "./my/pictures"
    with pytest.raises(ConfigError) as caught:
        compare([one, two, other])
    assert caught.value.code == 2
    (fault,) = caught.value.faults
    assert fault.line() == (
        f"compare: not tested on the same rows: {one['id']}, {two['id']} on usps {run_labels.tested(Run.of(one))}; "
        f"{other['id']} on pictures {run_labels.tested(Run.of(other))}"
    )
    assert fault.do == f"transfer compare {one['id']} {two['id']}"


def test_different_headlines_never_share_a_table() -> None:
    other = run("scratch", headline={"name": "test/f1", "rule": "final", "value": 0.5, "ci95": None})
    with pytest.raises(ConfigError, match=r"compare: the headlines are different metrics: accuracy of k\d+; f1 of k"):
        compare([run(), other])


def test_rules_that_differ_are_a_column() -> None:
    head = {
        "name": "test/accuracy",
        "rule": "target_val",
        "value": 0.95,
        "ci95": 0.01,
        "n": 2007,
        "over": "test pictures",
    }
    other = run(headline=head)
    other["metrics"]["target_val"] = {"test/accuracy": 0.95}
    other["config"]["fine_tune"]["rule"] = "target_val"
    other["words"].append("fine_tune.rule=target_val")
    table = compare([run(), other])
    assert [row["mean"].value for row in table.rows] == [0.95, 0.9]
    assert "rule final" not in table.title


def test_rules_that_follow_from_the_strategy_are_told_of_each() -> None:
    coral = seeds("scratch", 0.8, 0.82)
    for one in coral:
        one["headline"] = one["headline"] | {"rule": "source_val"}
        one["metrics"] = {"source_val": one["metrics"]["final"]}
    table = compare([*seeds("fine_tune", 0.9, 0.91), *coral, run("linear_probe", status="failed", headline=None)])
    assert "rules final and source_val" in table.title
    rows = [line.split("\t") for line in render(table, "tsv").splitlines()]
    assert [row[:2] for row in rows] == [
        ["strategy", "rule"], ["fine_tune", "final"], ["scratch", "source_val"], ["linear_probe", ""]
    ]  # fmt: skip
    assert render(table, "table", Look(200)).splitlines()[1].split()[:2] == ["strategy", "rule"]
    assert "rule" not in [column.name for column in compare(seeds("fine_tune", 0.9, 0.91)).columns]


def test_machines_read_no_share_outside_0_to_1() -> None:
    table = compare([*seeds("fine_tune", 0.9, 1.0), *seeds("scratch", 0.01, 0.2)])
    assert [(row["lo"], row["hi"]) for row in json.loads(render(table, "json"))["rows"]] == [
        (pytest.approx(0.3147, abs=1e-4), 1.0),
        (0.0, 1.0),
    ]
    names, first, _ = (line.split("\t") for line in render(table, "tsv").splitlines())
    row = dict(zip(names, first))
    assert (row["hi"], float(row["nll_lo"]) < 0) == ("1.0", True)
    assert "95 ±64" in render(table, "table", Look())


def test_tsv_and_json_of_compare() -> None:
    table = compare([*seeds("scratch", 0.70, 0.74), *seeds("fine_tune", 0.90, 0.92)])
    rows = [line.split("\t") for line in io.StringIO(render(table, "tsv")).read().splitlines()]
    assert rows[0] == [
        "strategy", "n", "n_failed", "mean", "lo", "hi", "sd", "delta", "delta_lo", "delta_hi", "p", "p_holm",
        "verdict", "labels", "cost_s", "pareto", "trained", "peak_bytes", "stored_bytes", "test", "against", "effect",
        "p_flip", "nll", "nll_lo", "nll_hi",
    ]  # fmt: skip
    assert rows[1][0:4] == ["fine_tune", "2", "0", "0.91"]
    document = json.loads(render(table, "json"))
    assert document["schema"] == "compare/1"
    assert document["rows"][0]["seeds"][1]["value"] == 0.92
    assert document["rows"][0]["test"] == "paired over seeds"
    assert document["rows"][0]["against"] == "scratch"


def test_the_fixed_source_model_is_said() -> None:
    assert "one source model for all seeds (pretrain.seed=0)" in compare(seeds("fine_tune", 0.9, 0.91)).notes
    assert compare(seeds("scratch", 0.9, 0.91)).notes == []
