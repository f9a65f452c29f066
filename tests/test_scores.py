"""Scores of single test rows, read without torch, give the metrics that torch gave; a damaged file gives none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from madeup import compare, place, run
from scipy import stats

from transfer_cli.analysis.results import Run
from transfer_cli.analysis.stored_scores import by_row, unpacked
from transfer_cli.metrics.classification import classification
from transfer_cli.models.tensors import pack
from transfer_cli.report.tables import Look, lines
from transfer_cli.rundir.rundir import listing
from transfer_cli.store.store import Store

KEYS = ("a" * 32, "b" * 32)


def kept(runs: Path, key: str, scores: dict[str, torch.Tensor], rule: str = "final") -> None:
    """An evaluate stage that holds these scores."""
    with Store(runs / ".store").claim(key, owner="runs/x") as claim:
        claim.put_json("stage.json", {"method": "none", "identity": {}})
        claim.put_json("results.json", {"rules": {rule: {"scores": rule}}, "headline": rule})
        claim.put(f"scores-{rule}.safetensors", pack(scores, {}))
        claim.finish()


def evaluated(runs: Path, strategy: str, key: str, right: float, seed: int = 0) -> dict[str, Any]:
    """A run whose net answers 400 rows; `right`: how sure it is of the right class."""
    rng = torch.Generator().manual_seed(int(key[0], 16) + seed)
    labels = torch.randint(0, 3, (400,), generator=torch.Generator().manual_seed(7))
    scores = torch.randn(400, 3, generator=rng) + right * torch.nn.functional.one_hot(labels, 3)
    kept(runs, key, {"scores": scores, "labels": labels})
    found = {f"test/{name}": value for name, value in classification(scores, labels).items() if "/" not in name}
    made = run(strategy, seed, stages=[{"name": "evaluate", "key": key, "seconds": 3.0}])
    made["metrics"] = {"final": {**found, "test/accuracy_ci95": 0.05}}
    made["headline"] |= {"n": 400, "value": found["test/accuracy"]}
    place(runs, made)
    return made


def test_rows_have_the_mean_that_was_reported(tmp_path: Path) -> None:
    evaluated(tmp_path, "scratch", KEYS[0], 1.0)
    (one,) = listing(tmp_path)
    for metric in ("accuracy", "nll"):
        rows = by_row(Run.of(one), metric, "final")
        assert rows is not None
        assert np.mean(rows) == pytest.approx(one["metrics"]["final"][f"test/{metric}"], abs=1e-6)
    assert by_row(Run.of(one), "f1", "final") is None


def test_rows_that_contradict_the_result_are_none(tmp_path: Path) -> None:
    evaluated(tmp_path, "scratch", KEYS[0], 1.0)
    (one,) = listing(tmp_path)
    one["metrics"]["final"]["test/accuracy"] += 0.01
    assert by_row(Run.of(one), "accuracy", "final") is None
    assert by_row(Run.of({**one, "path": str(tmp_path / "x" / "y")}), "accuracy", "final") is None
    assert by_row(Run.of({k: v for k, v in one.items() if k != "path"}), "accuracy", "final") is None


def test_bytes_that_are_no_tensors_are_refused() -> None:
    good = pack({"scores": torch.arange(6.0).reshape(2, 3), "labels": torch.tensor([1, 0])}, {})
    assert unpacked(good)["scores"].tolist() == [[0, 1, 2], [3, 4, 5]]
    for bad in (b"", good[:20], good[:-1], b"\xff" * 64, good.replace(b"F32", b"F99")):
        with pytest.raises((ValueError, KeyError, TypeError)):
            unpacked(bad)


def test_one_seed_each_is_compared_on_the_pictures_and_concludes_nothing(tmp_path: Path) -> None:
    evaluated(tmp_path, "scratch", KEYS[0], 1.0)
    evaluated(tmp_path, "fine_tune", KEYS[1], 2.5)
    base, tuned = (one for one in listing(tmp_path)[::-1])
    table = compare([base, tuned])
    (row, _) = table.rows
    right, wrong = (np.array(by_row(Run.of(one), "accuracy", "final")) for one in (tuned, base))
    wins, losses = int((right > wrong).sum()), int((right < wrong).sum())
    assert row["p"] == pytest.approx(stats.binomtest(wins, wins + losses).pvalue)
    assert (row["test"], row["verdict"]) == ("paired over rows", "NO CONCLUSION")
    lo, hi = stats.ttest_rel(right, wrong).confidence_interval()
    told = f"difference +{100 * (right - wrong).mean():.2f}, from +{100 * lo:.2f} to +{100 * hi:.2f}"
    assert f"{told} on these 400 pictures (paired, p <.001)" in table.notes
    assert table.notes[-1] == "NO CONCLUSION: one seed each; how much seeds move it is not known, 8 seeds tell"


def test_how_many_seeds_it_takes_is_judged_by_other_runs_here(tmp_path: Path) -> None:
    evaluated(tmp_path, "scratch", KEYS[0], 1.0)
    evaluated(tmp_path, "fine_tune", KEYS[1], 1.05)
    two = listing(tmp_path)
    shift = 0.016 / np.std([0, 1, 2, 3], ddof=1)
    others = [run("linear_probe", seed, 0.8 + seed * shift) for seed in range(4)]
    elsewhere = [run("linear_probe", seed, 0.1 * seed, fingerprints={"test": "x"}) for seed in range(4)]
    notes = compare(two, history=lambda: [*two, *others, *elsewhere]).notes
    assert "NO CONCLUSION: one seed each; new draws and starts move 1.6 (sd of 4 runs here)" in notes
    # by the noncentral t distribution 2.6 is what 8 pairs of sd 1.6 * sqrt(2) show in 80 of 100 cases
    assert notes[-1].startswith("8 seeds (~42 s) would show a difference of 2.6; ")


def test_a_history_is_read_only_where_it_is_needed(tmp_path: Path) -> None:
    def forbidden() -> list[Any]:
        raise AssertionError

    compare([run("scratch", seed, 0.8 + seed / 100) for seed in range(3)], history=forbidden)


def test_seeds_that_change_nothing_are_compared_on_the_pictures_and_judged(tmp_path: Path) -> None:
    """The source model alone and with new statistics: one result each, whatever the seed."""
    runs = [evaluated(tmp_path, "none", KEYS[0], 1.0), evaluated(tmp_path, "coral", KEYS[1], 2.5)]
    again = [
        {**one, "id": f"m{at}{one['id'][2:]}", "config": {**one["config"], "seed": 1}} for at, one in enumerate(runs)
    ]
    place(tmp_path, *again)
    table = compare(listing(tmp_path))
    assert {row["strategy"]: row["verdict"] for row in table.rows} == {"coral": "better", "none": "baseline"}
    assert "one result each" in table.title
    assert not any("NO CONCLUSION" in line for line in lines(table, Look()))


def test_draws_of_episodes_are_paired_where_their_seed_is_the_same(tmp_path: Path) -> None:
    shares = [torch.linspace(0.2, 0.9, 50), torch.linspace(0.2, 0.9, 50) + 0.05 * torch.tensor([0.0, 2.0] * 25)]
    few = []
    for strategy, key, accuracy in zip(("none", "fine_tune"), KEYS, shares):
        kept(tmp_path, key, {"accuracy": accuracy})
        made = run(strategy, 0, float(accuracy.double().mean()), stages=[{"name": "evaluate", "key": key}])
        made["headline"] |= {"over": "draws of 5-way 1-shot", "n": 50}
        few.append(made)
    place(tmp_path, *few)
    row = next(row for row in compare(listing(tmp_path)).rows if "p" in row)
    theirs = stats.ttest_rel(*(share.double().numpy() for share in shares[::-1]))
    assert (row["test"], row["p"]) == ("paired over draws", pytest.approx(theirs.pvalue, rel=1e-5))
    few[1]["config"]["seed"] = 1
    other = tmp_path / "other"
    place(other, *few)
    assert not any("p" in row for row in compare(listing(other)).rows)
