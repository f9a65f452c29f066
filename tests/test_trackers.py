"""Trackers hear what a run's rows and results say, and one that fails costs no run."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from transfer_cli import extras
from transfer_cli.analysis.results import Run
from transfer_cli.cli.main import main
from transfer_cli.report import trackers

ROWS = [
    {"stage": "pretrain", "step": 0, "loss": 2.5},
    {"stage": "fine_tune", "step": 0, "loss": 1.5},
    {"stage": "fine_tune", "step": 10, "loss": 0.5},
    {"stage": "fine_tune", "step": 10, "target_val/accuracy": 0.75},
]
RESULTS: dict[str, Any] = {
    "id": "k7q2md",
    "name": "fine_tune-digits",
    "config": {"seed": 3, "trainer": {"lr": 0.1}, "data": {"classes": ["a", "é"]}, "expect": {}},
    "status": "done",
    "words": [],
    "choices": {},
    "stages": [],
    "cost": {},
    "headline": {"name": "test/accuracy", "rule": "final", "value": 0.875},
    "metrics": {"final": {"test/accuracy": 0.875}, "oracle": {"test/accuracy": 0.9}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "fine_tune-digits" / "20261122T101502Z-k7q2md"
    home.mkdir(parents=True)
    (home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return home


def test_tensorboard_reads_back_every_point(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trackers.track("tensorboard", folder, tmp_path, Run.of(RESULTS))
    found = EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    assert [(e.step, e.value) for e in found.Scalars("fine_tune/loss")] == [(0, 1.5), (10, 0.5)]
    assert set(found.Tags()["scalars"]) == {
        "pretrain/loss", "fine_tune/loss", "fine_tune/target_val/accuracy", "test/accuracy",
    }  # fmt: skip


def test_mlflow_reads_back_settings_and_points(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    trackers.track("mlflow", folder, tmp_path, Run.of(RESULTS))
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("transfer")
    run = client.search_runs([experiment.experiment_id])[0]
    assert run.data.params == {"seed": "3", "trainer.lr": "0.1", "data.classes": "['a', 'é']", "expect": "{}"}
    assert run.data.metrics["test/accuracy"] == 0.875
    assert [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, "fine_tune/loss")] == [
        (0, 1.5),
        (10, 0.5),
    ]


@pytest.mark.slow
def test_wandb_writes_offline(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    trackers.track("wandb", folder, tmp_path, Run.of(RESULTS))
    written = list((folder / "wandb").glob("offline-run-*/*.wandb"))
    assert len(written) == 1
    content = written[0].read_bytes()
    assert b"fine_tune/loss" in content
    assert b"fine_tune-digits k7q2md" in content


HELLO = ["run", "experiment=hello", "trainer=tiny"]


def test_a_failing_tracker_costs_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def broken(told: trackers.TrackedRun) -> None:
        raise ConnectionError("no such\nserver")

    monkeypatch.setitem(trackers.TRACKERS, "wandb", broken)
    monkeypatch.setattr(extras, "find_spec", lambda name: True)
    assert main([*HELLO, "runtime.tracker=wandb", "--runs", str(tmp_path)]) == 0
    told = capsys.readouterr()
    assert "warning: tracker wandb: ConnectionError: no such server" in told.err
    run = next(tmp_path.glob("fine_tune-digits/*"))
    assert json.loads((run / "results.json").read_text())["status"] == "done"
    assert "ConnectionError" in (run / "log.txt").read_text()


def test_a_missing_library_is_told_before_any_work(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    assert main([*HELLO, "runtime.tracker=mlflow", "--runs", str(tmp_path)]) == 2
    text = "error: runtime.tracker=mlflow: needs an extra: pip install 'transfer-cli[mlflow]'"
    assert capsys.readouterr().err.splitlines()[0] == text
    assert not os.listdir(tmp_path)
