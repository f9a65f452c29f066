"""Launchers: jobs of a queue leave the same run directories and the same ledger as children of this process."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from transfer_cli.cli.main import main
from transfer_cli.errors import ConfigError
from transfer_cli.launch import launcher
from transfer_cli.launch.ray import RayJob
from transfer_cli.launch.slurm import _parameters

SMALL = ("data=digits", "model=mlp", "trainer=tiny")
RUNTIME = {
    "launcher": "slurm",
    "cluster": "slurm",
    "threads": "auto",
    "partition": None,
    "time": 90,
    "memory": None,
    "gpus": None,
}


@pytest.mark.slow
def test_a_sweep_of_six_jobs_with_one_that_fails(tmp_path: Path, capsys: Any) -> None:
    """The local executor of submitit replaces the cluster: the same jobs, as processes of this machine."""
    rates = ("0.05", "1e30", "0.01", "0.02", "0.03", "0.04")
    words = ["runtime=slurm", "runtime.cluster=local", f"fine_tune.trainer.lr={','.join(rates)}"]
    argv = ["run", "-m", *SMALL, *words, "-j", "3", "--runs", str(tmp_path)]
    assert main(argv) == 3
    (ledger,) = [json.loads(path.read_text()) for path in (tmp_path / "sweeps").glob("*/sweep.json")]
    assert (ledger["status"], ledger["code"]) == ("failed", 3)
    assert [(row["state"], row["code"]) for row in ledger["runs"]] == [("done", 0), ("failed", 7), *[("done", 0)] * 4]
    for row in ledger["runs"]:
        found = json.loads((tmp_path / row["path"] / "results.json").read_text())
        assert (found["status"], found["sweep"]) == (row["state"], ledger["id"])
    stages = [path.parent for path in (tmp_path / ".store").glob("*/timing.jsonl")]
    assert [len((stage / "timing.jsonl").read_text().splitlines()) for stage in stages] == [1] * 12  # 1 + 6 + 5
    log = tmp_path / ledger["runs"][1]["path"] / "log.txt"
    out, err = capsys.readouterr()
    assert f"{ledger['runs'][1]['id']}  fine_tune.trainer.lr=1e30  failed [7]" in err
    assert f"log {log}" in " ".join(err.split())
    assert "5 of 6 done, 1 failed" in err
    assert len([line for line in out.splitlines() if "\t" in line]) == 7  # the table and its header
    assert main(argv) == 3  # finished runs are not repeated; a diverged run is reported again
    again = capsys.readouterr().err
    assert "failed [7]" in again
    assert "done  accuracy" not in again
    assert [len((stage / "timing.jsonl").read_text().splitlines()) for stage in stages] == [1] * 12


@pytest.mark.parametrize(("name", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_a_missing_extra_is_one_line(name: str, package: str, transfer: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(launcher, "find_spec", lambda wanted: None if wanted == package else object())
    told = transfer("run", "-m", *SMALL, f"runtime={name}", "seed=0,1")
    assert told.errors == [f"error: runtime={name}: needs an extra: pip install 'transfer-cli[{name}]'"]
    assert (told.code, Path("runs").exists()) == (2, False)


def test_a_missing_sbatch_is_reported_before_any_work(transfer: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(launcher, "which", lambda program: None)
    told = transfer("run", "-m", *SMALL, "runtime=slurm", "seed=0,1")
    assert told.code == 2
    assert told.errors[0] == "error: runtime=slurm: sbatch is not on this machine"
    assert not Path("runs/sweeps").exists()


def test_settings_reach_submitit_under_its_names() -> None:
    told = {**RUNTIME, "threads": 8, "partition": "gpu", "memory": 16.0, "gpus": 1}
    assert _parameters(told) == {
        "name": "transfer",
        "timeout_min": 90,
        "mem_gb": 16.0,
        "gpus_per_node": 1,
        "cpus_per_task": 8,
        "slurm_partition": "gpu",
        "slurm_signal_delay_s": 90,
    }
    assert _parameters(RUNTIME) == {"name": "transfer", "timeout_min": 90, "slurm_signal_delay_s": 90}


def test_submitit_accepts_these_names(tmp_path: Path) -> None:
    submitit = pytest.importorskip("submitit")
    executor = submitit.AutoExecutor(tmp_path, cluster="debug")
    executor.update_parameters(**_parameters({**RUNTIME, "partition": "gpu", "memory": 16.0, "gpus": 1}))
    with pytest.raises(NameError):
        executor.update_parameters(no_such_setting=1)


def test_an_error_of_sbatch_is_one_line(tmp_path: Path, monkeypatch: Any) -> None:
    submitit = pytest.importorskip("submitit")

    def refused(*args: Any, **kwargs: Any) -> None:
        raise submitit.core.utils.FailedJobError("sbatch: error:\n invalid partition specified: gpux")

    made = launcher.launcher({**RUNTIME, "cluster": "local"}, tmp_path)
    monkeypatch.setattr(submitit.AutoExecutor, "submit", refused)
    with pytest.raises(ConfigError) as caught:
        made.start(lambda: 0)
    assert caught.value.faults[0].line() == "runtime=slurm: sbatch: error: invalid partition specified: gpux"


class FakeRay:
    """The functions of ray that RayJob calls."""

    class exceptions:
        class RayError(Exception): ...

    def __init__(self) -> None:
        self.ended: dict[str, Any] = {}
        self.cancelled: list[str] = []

    def wait(self, refs: list[str], timeout: float) -> tuple[list[str], list[str]]:
        return [ref for ref in refs if ref in self.ended], [ref for ref in refs if ref not in self.ended]

    def get(self, ref: str) -> Any:
        if isinstance(self.ended[ref], Exception):
            raise self.ended[ref]
        return self.ended[ref]

    def cancel(self, ref: str) -> None:
        self.cancelled.append(ref)


def test_the_end_of_a_ray_task_is_an_exit_code(monkeypatch: Any) -> None:
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    first, second = RayJob("first"), RayJob("second")
    assert (first.code(), second.code()) == (None, None)
    ray.ended = {"first": 7, "second": FakeRay.exceptions.RayError("worker died")}
    assert (first.code(), second.code()) == (7, 137)
    first.stop()
    assert ray.cancelled == ["first"]


def test_a_job_without_an_exit_code_was_killed(tmp_path: Path) -> None:
    from transfer_cli.launch.slurm import SlurmJob

    ended = SimpleNamespace(done=lambda: True)
    assert SlurmJob(SimpleNamespace(done=lambda: False), tmp_path / "1.code", here=False).code() is None
    assert SlurmJob(ended, tmp_path / "1.code", here=False).code() == 137
    (tmp_path / "1.code").write_text("7")
    assert SlurmJob(ended, tmp_path / "1.code", here=False).code() == 7
