"""What an edit of the code computes anew: a stage and what follows it, and nothing that the edit cannot change."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from transfer_cli.config.compose import load
from transfer_cli.plan import code_hash
from transfer_cli.plan.code_hash import PACKAGE
from transfer_cli.plan.planner import plan

WORDS = ("data=digits", "source=digits", "model=mlp", "model.precision=fp32", "runtime=cpu", "trainer=tiny")
UNJUDGED = ("trainer.validations=0",)  # rule final alone
Edit = Callable[..., None]


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Edit]:
    """edit("losses/coral.py"): from now on the file says something else."""
    read = code_hash._facts

    def edit(*names: str) -> None:
        def facts(file: Path, cache: code_hash.Cache) -> tuple[str, list[str]]:
            digest, imports = read(file, cache)
            edited = any(file == PACKAGE / name for name in names)
            return f"edited {digest}" if edited else digest, imports

        assert all((PACKAGE / name).is_file() for name in names)
        code_hash._CLOSURES.clear()
        monkeypatch.setattr(code_hash, "_facts", facts)

    yield edit
    code_hash._CLOSURES.clear()


def keys(folder: Path, *words: str) -> dict[str, str]:
    return {stage.name: stage.key for stage in plan(load([*WORDS, *words]), runs=folder).work}


def changed(folder: Path, edit: Edit, name: str, *words: str) -> list[str]:
    """Stages whose key is another after an edit of the file."""
    before = keys(folder, *words)
    edit(name)
    after = keys(folder, *words)
    return [stage for stage in before if before[stage] != after[stage]]


ALL = ["pretrain", "align", "evaluate"]


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("metrics/classification.py", ["evaluate"]),
        ("scoring/classify.py", ["evaluate"]),
        ("metrics/label_free.py", ["evaluate"]),  # it measures the domains side by side
        ("losses/coral.py", ["align", "evaluate"]),
        ("methods/discrepancy.py", ["align", "evaluate"]),
        ("methods/supervised.py", ALL),
        ("data/readers/digits.py", ALL),
        ("data/formats/decode.py", ALL),
        ("kinds/pictures.py", ALL),
        ("models/mlp.py", ALL),
        ("tasks/classify.py", ALL),
        ("heads/linear.py", ALL),
        ("kinds/_augmentation.py", []),  # nothing is drawn
        ("data/dataset.py", []),
        ("data/splits.py", []),
        ("data/curate.py", []),
        ("models/backbone.py", []),
        ("engine/trainer.py", []),
        ("predictors/knn.py", []),
    ],
)
def test_an_edit_computes_anew_what_it_can_change(tmp_path: Path, edit: Edit, name: str, stages: list[str]) -> None:
    assert changed(tmp_path, edit, name, "strategy=coral", *UNJUDGED) == stages


def test_a_stage_that_chooses_its_snapshot_by_a_metric_has_it_in_its_key(tmp_path: Path, edit: Edit) -> None:
    assert changed(tmp_path, edit, "metrics/classification.py", "strategy=coral") == ALL


def test_label_free_rules_are_in_the_key_of_stages_that_are_judged_by_them(tmp_path: Path, edit: Edit) -> None:
    assert changed(tmp_path, edit, "metrics/label_free.py", "strategy=coral") == ["align", "evaluate"]


def test_augmentation_is_in_the_key_of_stages_that_draw_views(tmp_path: Path, edit: Edit) -> None:
    words = ("strategy=fine_tune", "data.augment=weak", "source.augment=none", *UNJUDGED)
    assert changed(tmp_path, edit, "kinds/_augmentation.py", *words) == ["fine_tune", "evaluate"]


def test_an_edited_metric_retrains_nothing(transfer: Any, tmp_path: Path, edit: Edit) -> None:
    words = ("run", *WORDS, "strategy=fine_tune", *UNJUDGED)
    assert transfer(*words).code == 0
    edit("metrics/classification.py")
    assert transfer(*words).code == 0
    newest = max((tmp_path / "runs").glob("[!.]*/*/results.json"), key=lambda path: path.stat().st_mtime_ns)
    stages = json.loads(newest.read_text())["stages"]
    assert {stage["name"]: stage["cached"] for stage in stages if stage["key"]} == {
        "pretrain": True, "fine_tune": True, "evaluate": False,
    }  # fmt: skip
