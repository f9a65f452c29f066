"""Folds of training labels: each label is in one validation fold, copies stay together, test rows are never used."""

from pathlib import Path

import numpy as np
import pytest

from transfer_cli.config.compose import load
from transfer_cli.data.open import DataSet, describe
from transfer_cli.data.splits import folds
from transfer_cli.errors import DataError
from transfer_cli.plan.plan import Plan
from transfer_cli.plan.planner import plan

SMALL = ("data=digits", "model=mlp", "source=none", "pretrain=none", "runtime=cpu")


def data(folder: Path, *words: str) -> DataSet:
    found = describe(load([*SMALL, *words]).values["data"], cache=folder)
    assert found is not None
    return found


@pytest.mark.parametrize("words", [(), ("data.shots=7",), ("data.fraction=0.1",), ("data.label_noise=0.5",)])
def test_each_label_is_used_for_validation_in_exactly_one_fold(words: tuple[str, ...], tmp_path: Path) -> None:
    whole = data(tmp_path, *words).rows("train", seed=3)
    clean = data(tmp_path, *(word for word in words if "noise" not in word)).rows("train", seed=3)
    seen = []
    for fold in range(5):
        found = data(tmp_path, *words, f"data.fold={fold}")
        learned, held = found.rows("train", seed=3), found.rows("val", seed=3)
        assert sorted([*learned.index, *held.index]) == whole.index.tolist()
        assert dict(zip(whole.index, whole.labels)).items() >= dict(zip(learned.index, learned.labels)).items()
        assert dict(zip(clean.index, clean.labels)).items() >= dict(zip(held.index, held.labels)).items()
        counts = np.bincount(held.labels, minlength=10)
        assert max(counts) - min(counts) <= 2
        assert found.rows("test").index.tolist() == data(tmp_path).rows("test").index.tolist()
        keys = [str(found.key(part, labelled=True, seed=3)) for part in ("train", "val")]
        seen += [*held.index]
        assert len({*keys, str(data(tmp_path, *words).key("train", labelled=True, seed=3))}) == 3
    assert sorted(seen) == whole.index.tolist()


def test_copies_share_a_fold_and_folds_are_stratified() -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 4, 200)
    groups = np.arange(200)
    for one in range(0, 200, 10):
        same = np.flatnonzero(labels == labels[one])[:4]
        groups[same] = same[0]
    found = folds(labels, list("abcd"), 5, 0, groups)
    for group in np.unique(groups):
        assert len(set(found[groups == group].tolist())) == 1
    even = folds(labels, list("abcd"), 5, 0)
    for number in range(4):
        counts = np.bincount(even[labels == number], minlength=5)
        assert max(counts) - min(counts) <= 1


def planned(folder: Path, *words: str) -> Plan:
    return plan(load([*SMALL, *words]), runs=folder)


def test_a_run_that_scores_validation_rows_has_no_test_rows_in_any_key(tmp_path: Path) -> None:
    for strategy in ("fine_tune", "linear_probe", "knn"):
        made = planned(tmp_path, f"strategy={strategy}", "data.fold=2", "evaluate.part=val")
        assert "'test'" not in str([stage.spec for stage in made.stages])
        assert "'test'" in str(planned(tmp_path, f"strategy={strategy}", "data.fold=2").work[-1].spec)


def test_invalid_folds_and_missing_validation_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        planned(tmp_path, "data.fold=5")
    assert caught.value.faults[0].line() == "data.fold=5: allowed 0 to 4"
    with pytest.raises(DataError) as caught:
        planned(tmp_path, "data.shots=5", "evaluate.part=val")
    assert caught.value.faults[0].text == "digits has no labelled val rows"


def test_features_of_a_fold_equal_those_computed_for_all_rows(tmp_path: Path) -> None:
    """They come from one pass for all folds, and equal those of a separate pass."""
    import torch

    from transfer_cli.engine.inference import features
    from transfer_cli.engine.stage_context import StageContext
    from transfer_cli.report.live.run_display import Talk
    from transfer_cli.runner.processes import job_of, join
    from transfer_cli.signals import Stop
    from transfer_cli.store.store import Store

    made = planned(tmp_path, "strategy=linear_probe", "data.shots=4", "data.fold=1", "evaluate.part=val")
    context = StageContext(
        Store(tmp_path / ".store"), join(made).device, tmp_path / ".cache", Talk(), Stop(), lambda: None
    )
    job = job_of(made, made.work[0])
    net = context.net(job, {"init": 0}).eval()
    for part in ("train", "val"):
        loader = context.loader(job, "target", part, seed=0)
        found, labels = loader.features(net)
        assert torch.allclose(found, features(net, loader, "fp32").cpu(), atol=1e-5)
        assert labels.tolist() == made.target.rows(part, seed=0).labels.tolist()
