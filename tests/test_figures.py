"""Figures: something is in the picture, whatever the classes are called; one that fails costs nothing else."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from madeup import run
from PIL import Image

from transfer_cli.errors import TransferError
from transfer_cli.report import figures
from transfer_cli.report.renderers import render

ROWS = [
    {"stage": stage, "step": step, "loss": 2.0 / (1 + step)}
    for stage in ("pretrain", "fine_tune")
    for step in range(0, 40, 4)
] + [{"stage": "fine_tune", "step": 20, "target_val/accuracy": 0.8, "target_val/nll": 0.5, "oracle/accuracy": 0.7}]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def colored(path: Path, color: tuple[int, int, int]) -> int:
    """Pixels of nearly this colour."""
    return int((np.abs(pixels(path) - np.array(color)).max(axis=2) < 12).sum())


def test_curves_hold_loss_and_validation(tmp_path: Path) -> None:
    figures.curves(ROWS, tmp_path / "curves.png", title="fine_tune, $x^2, run k7q2md")
    assert colored(tmp_path / "curves.png", (0, 0x72, 0xB2)) > 500
    assert list(tmp_path.iterdir()) == [tmp_path / "curves.png"]
    figures.curves([row for row in ROWS if "loss" in row], tmp_path / "loss.png")
    assert pixels(tmp_path / "loss.png").shape[0] < pixels(tmp_path / "curves.png").shape[0]


def test_stages_stand_one_after_the_other() -> None:
    assert figures._starts(ROWS) == ({"pretrain": 0, "fine_tune": 36}, 72)
    assert figures._points(ROWS, {"pretrain": 0, "fine_tune": 36}, "fine_tune", "oracle/accuracy") == ([56], [0.7])


@pytest.mark.parametrize("classes", [2, 10, 25, 70])
def test_confusion_of_few_and_many_classes(tmp_path: Path, classes: int) -> None:
    table = (np.eye(classes, dtype=int) * 9).tolist()
    table[0] = [0] * classes  # a class without test pictures
    hostile = ["$\\frac{", "日本", "[red]", "a\x1b[2Jb", "x" * 300, *map(str, range(classes))][:classes]
    figures.confusion(table, hostile, tmp_path / "confusion.png")
    assert colored(tmp_path / "confusion.png", (0x08, 0x30, 0x6B)) > 100  # the darkest blue: rows that are all right


def test_top_confusions_name_their_rows() -> None:
    table = figures.top_confusions([{"is": "cat", "taken_for": "dog", "count": 7, "rows": ["cat/a.jpg", "cat/b.jpg"]}])
    assert render(table, "csv") == 'is,taken_for,count,rows\ncat,dog,7,"cat/a.jpg, cat/b.jpg"\n'


def finished(tmp_path: Path) -> Path:
    """A run directory and the evaluate stage it names, as far as figures read them."""
    key, folder, store = "c" * 32, tmp_path / "fine_tune-usps" / "x-k7q2md", tmp_path / ".store" / ("c" * 32)
    worst = {"is": "a", "taken_for": "b", "count": 1, "rows": ["r"]}
    folder.mkdir(parents=True)
    store.mkdir(parents=True)
    write = {
        folder / "results.json": {**run(), "id": "k7q2md"},
        folder / "plan.json": [{"stage": "evaluate", "key": key, "spec": {"classes": ["a", "b"]}}],
        store / "results.json": {
            "headline": "final",
            "rules": {"final": {"confusion": [[3, 1], [0, 4]], "confused": [worst]}},
        },
    }  # fmt: skip
    for path, value in write.items():
        path.write_text(json.dumps(value))
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return folder


def test_a_finished_run_gets_its_figures(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    figures.draw(folder)
    assert {path.name for path in folder.iterdir()} >= {"curves.png", "confusion.png", "confusions.csv"}


def test_a_figure_that_fails_is_named_and_the_others_are_there(tmp_path: Path, monkeypatch: Any) -> None:
    def broken(*args: object, **settings: object) -> None:
        raise RuntimeError("no font")

    folder = finished(tmp_path)
    monkeypatch.setattr(figures, "curves", broken)
    with pytest.raises(TransferError) as caught:
        figures.draw(folder)
    assert [fault.line() for fault in caught.value.faults] == [
        "results are complete: figure curves.png failed: RuntimeError: no font"
    ]
    assert caught.value.code == 1
    assert (folder / "confusion.png").is_file()


def test_half_a_figure_is_never_there(tmp_path: Path) -> None:
    failed = figures.attempt({"a.png": partial(figures.confusion, [[1]], [])}, tmp_path)
    assert len(failed) == 1
    assert list(tmp_path.iterdir()) == []
