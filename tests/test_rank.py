"""transfer rank: which sources, which rows, what is shown, and what is refused in which words."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import weightedtau

from transfer_cli.analysis.rank_agreement import weighted_tau
from transfer_cli.analysis.ranking import Reached
from transfer_cli.engine import ranking
from transfer_cli.legacy_measures import MEASURES
from transfer_cli.report import rank_table as shown

Transfer = Callable[..., Any]
TINY = ("model=mlp", "trainer=tiny")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vectors.npz, the target: three classes, the last 40 of 100 columns of no use; near.npz and far.npz, sources that
    share its useful columns, or do not; and a run of each, of scratch and of probes on the target."""
    from transfer_cli.cli.main import main

    folder = tmp_path_factory.mktemp("rank")
    for name, seed, shift in (("vectors", 0, 0.0), ("near", 1, 0.0), ("far", 2, 3.0)):
        np.savez(folder / f"{name}.npz", **clouds(seed, shift))
    words = ["--runs", str(folder / "runs"), "-q", "runtime=cpu", "runtime.threads=1", "trainer=tiny"]
    data = f"data={folder}/vectors.npz"
    for source in ("near", "far"):
        assert main(["run", *words, data, "strategy=linear_probe", f"source={folder}/{source}.npz"]) == 0
    assert main(["run", *words, data, "strategy=linear_probe", "pretrain=none", "source=none"]) == 0
    return folder


def clouds(seed: int, shift: float) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    means = np.random.default_rng(9).normal(size=(3, 12))
    labels = np.arange(150) % 3
    features = np.concatenate([means[labels], np.zeros((150, 8))], 1) + draw.normal(size=(150, 20)) + shift
    return {"features": features.astype(np.float32), "labels": labels}


def rank(transfer: Transfer, folder: Path, *words: str) -> Any:
    return transfer("rank", *words, "trainer=tiny", "runtime=cpu", "--runs", str(folder / "runs"))


def document(told: Any) -> dict[str, Any]:
    assert told.code == 0, told.err
    found: dict[str, Any] = json.loads(told.out)
    return found


# the command
def test_every_score_stands_beside_its_null_and_interval(transfer: Transfer, sources: Path) -> None:
    words = (f"{sources}/vectors.npz", f"source=none,{sources}/near.npz,{sources}/far.npz", "--json")
    found = document(rank(transfer, sources, *words))
    rows = {row["source_model"]: row for row in found["rows"]}
    assert sorted(rows) == ["mlp_vectors far.npz", "mlp_vectors near.npz", "mlp_vectors none"]
    for name, row in rows.items():
        for score in shown.SCORES:
            given = score not in shown.OF_CLASSES or not name.endswith("none")
            assert (row[score] is not None) == given, (name, score)
            if given:
                assert row[f"{score}_lo"] <= row[score] <= row[f"{score}_hi"]
                assert row[f"{score}_shuffled_lo"] <= row[f"{score}_shuffled"] <= row[f"{score}_shuffled_hi"]
                assert row[f"{score}_time_s"] >= 0
        assert row["logme"] > row["logme_shuffled_hi"]
    assert {row["verdict"] for row in rows.values()} <= {"informative", "overlaps first", "below first", "no signal"}
    assert found["rows"][0]["verdict"] == "informative"
    assert [row["logme"] for row in found["rows"]] == sorted((row["logme"] for row in rows.values()), reverse=True)


def test_distances_know_the_near_source_from_the_far(transfer: Transfer, sources: Path) -> None:
    words = (f"data={sources}/vectors.npz", f"source={sources}/near.npz,{sources}/far.npz", "--json")
    rows = {row["source_model"].split()[-1]: row for row in document(rank(transfer, sources, *words))["align"]}
    assert sorted(rows) == ["far.npz", "near.npz"]
    assert rows["far.npz"]["mmd_lo"] > rows["far.npz"]["mmd_mixed_hi"]
    assert rows["far.npz"]["a_distance"] > 1.5 > rows["near.npz"]["a_distance"]


def test_finished_runs_of_the_same_target_are_held_against_the_scores(transfer: Transfer, sources: Path) -> None:
    words = (f"{sources}/vectors.npz", f"source=none,{sources}/near.npz,{sources}/far.npz", "--json")
    found = document(rank(transfer, sources, *words))
    (tau,) = found["tau"]
    assert (tau["strategy"], tau["n"]) == ("linear_probe accuracy", 3)
    reached = {row["source_model"]: row["value"] for row in found["reached"]}
    logme = {row["source_model"]: row["logme"] for row in found["rows"]}
    expected = weightedtau([logme[name] for name in reached], list(reached.values())).statistic
    assert tau["logme"] == pytest.approx(expected) or (tau["logme"] is None and math.isnan(expected))
    other = document(rank(transfer, sources, *words, "data.shots=5"))
    assert (other["tau"], other["reached"]) == ([], [])  # they learned from other labels


def test_what_was_not_learned_is_named_and_not_trained(transfer: Transfer, sources: Path) -> None:
    words = (f"{sources}/vectors.npz", f"source=none,{sources}/near.npz", "--candidate", "source=digits model=mlp")
    wrong = rank(transfer, sources, *words)
    assert wrong.code == 2
    assert wrong.errors[0] == f"error: model=mlp: reads pictures, and {sources}/vectors.npz are vectors"
    told = rank(transfer, sources, f"{sources}/vectors.npz", f"source=none,{sources}/near.npz", "pretrain.seed=7")
    assert told.code == 0, told.err
    assert "not learned yet, and rank trains nothing: mlp_vectors near.npz" in told.err
    assert told.err.splitlines()[-1].startswith("next  transfer run strategy=linear_probe ")
    alone = rank(transfer, sources, f"{sources}/vectors.npz", f"source={sources}/near.npz", "pretrain.seed=7")
    assert alone.code == 5
    assert alone.errors[0] == (
        "error: rank: not learned yet, and rank trains nothing: mlp_vectors near.npz: nothing to rank"
    )


def test_a_run_is_a_source_and_one_of_the_target_itself_is_said_to_flatter(transfer: Transfer, tmp_path: Path) -> None:
    run = Path(transfer("run", "-q", "data=digits", "strategy=scratch", *TINY).out.strip()).name.rpartition("-")[2]
    told = transfer("rank", "digits", f"weights=none,{run}", "data.shots=9", *TINY, "--format", "md")
    assert told.code == 0, told.err
    assert f"mlp run {run}" in told.out
    assert f"learned from these data, so its scores flatter: mlp run {run}" in told.out
    assert "LEEP and NCE want a linear head of the source's classes; without one: mlp none" in told.out
    assert "| – |" in told.out


def test_grey_pictures_reach_a_net_that_reads_colour(transfer: Transfer, tmp_path: Path) -> None:
    words = ("digits", "data.shots=3", "--candidate", "model=mlp", "--candidate", "model=resnet20", "--format", "tsv")
    told = transfer("rank", *words, "trainer=tiny")
    assert told.code == 0, told.err
    names = [line.split("\t")[0] for line in told.out.splitlines()]
    assert sorted(names) == ["mlp none", "resnet20 none", "source_model"]
    assert "train part only, 30 pictures. A score ranks; it is no accuracy" in told.err


def test_only_training_rows_are_read_and_the_second_time_says_the_same(transfer: Transfer, monkeypatch: Any) -> None:
    from transfer_cli.engine.stage_context import StageContext

    asked, items = [], StageContext.items

    def seen(self: StageContext, job: Any, side: str, part: Any, **more: Any) -> Any:
        asked.append((side, part))
        return items(self, job, side, part, **more)

    def values(text: str) -> list[Any]:
        (row,) = json.loads(text)["rows"]
        return [value for name, value in row.items() if not name.endswith("_s")]

    monkeypatch.setattr(StageContext, "items", seen)
    first, again = (transfer("rank", "digits", "data.shots=9", *TINY, "--json") for _ in range(2))
    assert asked == [("target", "train")] * 2
    assert values(first.out) == values(again.out)


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["digits", "strategy=full"], "strategy=full: rank trains nothing; its words are data, seed, trainer, runtime, "
         "plugins, model, weights, source, pretrain"),
        (["source=mnist"], "rank: needs a target"),
        (["digits", "usps"], "digits usps: rank takes one DATA"),
        (["digits", "--metric", "logm"], "--metric=logm: no such score; nearest: logme"),
        (["digits", "--candidate", "data=usps"],
         "data=usps: is the same for all candidates; give it outside --candidate"),
        (["digits", "--candidate", "model='mlp"], "--candidate=model='mlp: No closing quotation"),
        (["digits", "seed=0,1", "data.shots=2", "model=mlp"],
         "rank: mlp none and mlp none would be scored on different rows of digits"),
    ],
)  # fmt: skip
def test_wrong_words_are_told(transfer: Transfer, argv: list[str], told: str) -> None:
    found = transfer("rank", *argv)
    assert (found.code, found.out) == (2, "")
    assert found.errors[0] == f"error: {told}"


def test_a_text_without_classes_is_refused(transfer: Transfer, tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("once upon a time\n" * 200)
    found = transfer("rank", "book.txt", "model=gpt_tiny", "trainer=tiny")
    assert found.code == 2
    assert "language" in found.errors[0]


# the parts
def test_tau_is_scipys() -> None:
    draw = np.random.default_rng(0)
    for n in (2, 5, 12):
        a, b = draw.normal(size=n), draw.integers(0, 4, size=n).astype(float)
        assert weighted_tau(a.tolist(), b.tolist()) == pytest.approx(weightedtau(a, b).statistic, nan_ok=True)
    assert math.isnan(weighted_tau([1.0, 1.0], [1.0, 2.0]))


def test_a_metric_where_less_is_better_turns_the_order() -> None:
    scores = {"a": 3.0, "b": 2.0, "c": 1.0}
    assert Reached("full", "nll", MEASURES["nll"], {"a": 0.1, "b": 0.2, "c": 0.3}).tau(scores) == pytest.approx(1)
    assert Reached("full", "accuracy", MEASURES["accuracy"], {"a": 0.1, "b": 0.2, "c": 0.3}).tau(
        scores
    ) == pytest.approx(-1)
    assert math.isnan(Reached("full", "accuracy", MEASURES["accuracy"], {"a": 0.1, "b": 0.2}).tau(scores))


def test_the_error_is_about_what_new_rows_would_show() -> None:
    """With more features than rows, where a bootstrap finds 20 times as much, and far from the value."""
    draw = torch.Generator().manual_seed(0)
    means = torch.randn(5, 120, generator=torch.Generator().manual_seed(1))

    def fresh() -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(100) % 5
        return 0.4 * means[labels] + torch.randn(100, 120, generator=draw), labels

    true = float(torch.tensor([float(ranking.logme(*fresh())) for _ in range(30)]).std())
    told = [ranking.figure(ranking.logme, *fresh()).error for _ in range(8)]
    assert 0.5 * true < float(np.mean(told)) < 2 * true


def test_some_rows_keep_every_class() -> None:
    labels = torch.tensor([0] * 70 + [1] * 29 + [2])
    kept = ranking.stratified_sample(labels, 50)
    assert torch.bincount(labels[kept]).tolist() == [35, 14, 1]
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert ranking.stratified_sample(labels, 100).tolist() == list(range(100))


def entry(name: str, value: float, error: float, shuffled: float = 0.0) -> shown.Entry:
    spread = [shuffled - 0.1, shuffled + 0.1] * 10
    return shown.Entry(name, "", {"logme": ranking.Figure(value, error, 9, spread, 0.0)})


def test_verdicts() -> None:
    first = entry("first", 5.0, 0.1)
    said = [shown.verdict(each, first, "logme") for each in (first, entry("b", 4.7, 0.1), entry("c", 4.0, 0.1))]
    assert said == ["informative", "overlaps first", "below first"]
    assert shown.verdict(entry("d", 0.3, 0.1), first, "logme") == "no signal"
    assert shown.verdict(entry("e", 4.9, 3.0), first, "logme") == "no signal"
    assert shown.verdict(shown.Entry("f", "", {}), first, "logme") == ""


def test_who_is_unknown_stands_between_those_with_a_signal_and_those_without() -> None:
    known = {"best": entry("best", 5.0, 0.1), "good": entry("good", 2.0, 0.1), "none": entry("none", 0.3, 0.1)}
    line = sorted(["none", "unknown", "good", "best"], key=lambda name: shown.promise(known.get(name), "logme"))
    assert line[::-1] == ["best", "good", "unknown", "none"]


@pytest.mark.parametrize("command", ["rank", "advise"])
def test_data_of_entities_are_refused_without_a_word_of_probes(
    transfer: Transfer, tmp_path: Path, command: str
) -> None:
    (tmp_path / "words.conll").write_text("Anna B-PER\nsees O\nParis B-LOC\n\n" * 30)
    told = transfer(command, f"data={tmp_path}/words.conll", "--runs", str(tmp_path / "runs"))
    assert told.code == 2
    assert told.errors[0] == f"error: data={tmp_path}/words.conll: its task is tag, and {command} needs classes"
