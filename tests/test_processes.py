"""Processes started by `transfer run ... runtime=ddp` itself, through torch's launcher."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from transfer_cli.cli import table
from transfer_cli.cli.main import main
from transfer_cli.cli.options import read
from transfer_cli.engine import launch
from transfer_cli.errors import ConfigError, ResourceError
from transfer_cli.report.live import progress_file
from transfer_cli.runner import processes, single_run, sweep
from transfer_cli.signals import TIME_UP

ALONE = ("data=digits", "model=mlp", "trainer=tiny", "runtime=cpu", "runtime.threads=1")
WORDS = ("data=digits", "model=mlp", "trainer=tiny", "runtime=ddp", "runtime.device=cpu", "runtime.threads=1")


def made(processes: int | str = "auto", *words: str) -> Any:
    values = {"runtime": {"processes": processes, "device": "cpu", "shard": False}}
    return SimpleNamespace(values=values, config=SimpleNamespace(words=words))


def test_processes_are_started_only_by_who_was_not_started_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes.to_start(made("auto"))
    assert processes.to_start(made(2))
    assert not processes.to_start(made(1))
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert not processes.to_start(made("auto"))
    assert not processes.to_start(made(2))
    assert (processes.rank(), processes.world()) == (1, 2)
    for wrong in (1, 3):
        with pytest.raises(ConfigError, match=f"runtime.processes={wrong}: 2 were started"):
            processes.to_start(made(wrong))


def test_the_command_line_of_a_process_means_the_same() -> None:
    argv = ["run", "-q", "data=digits", "--wait", "90", "--runs", "r s", "--retry-failed", "-m", "--seeds=3", "seed=1"]
    options = read(argv)
    again = read(processes._argv(made(2, *options.words), options))
    assert (again.words, again.wait, again.runs, again.quiet) == (options.words, 90.0, Path("r s"), True)
    assert again.retry_failed
    assert not again.multirun
    assert again.seeds is None
    assert again.config_dirs == options.config_dirs


def test_every_option_of_run_is_passed_on_or_belongs_to_the_first_process() -> None:
    passed = processes.SWITCHES | processes.VALUES
    named = {option.name: option.field for option in table.options_of("run")}
    assert passed.items() <= named.items()
    first = {"multirun", "seeds", "dry_run", "cfg", "help", "jobs", "search", "metric", "fail_fast"}
    assert set(named.values()) - set(passed.values()) == first
    assert {name for name in passed if not table_value(name)} == set(processes.SWITCHES)


def table_value(name: str) -> str:
    """What follows an option on the command line; "" for a switch."""
    return next(option.value for option in table.OPTIONS if option.name == name)


@pytest.mark.parametrize(
    ("ended", "code"),
    [({0: 7}, 7), ({0: 143, 1: -9}, 143), ({1: -9, 0: 6}, 6), ({1: 4, 0: -15}, 4)],
)
def test_the_exit_code_is_that_of_the_process_that_ended_the_run(ended: dict[int, int], code: int) -> None:
    assert processes._code(ended, 2) == code


@pytest.mark.parametrize("ended", [{0: -9}, {0: -9, 1: -15}])
def test_the_launcher_tells_what_the_first_process_cannot(ended: dict[int, int]) -> None:
    with pytest.raises(ResourceError, match="process 1 of 2: was killed by SIGKILL, probably out of memory"):
        processes._code(ended, 2)


@pytest.mark.parametrize(("jobs", "threads"), [(1, "4"), (2, "2"), (16, "1")])
def test_runs_that_go_on_at_once_share_the_cores_among_their_processes(
    jobs: int, threads: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    monkeypatch.setattr(launch, "start", lambda *_: seen.append(os.environ["OMP_NUM_THREADS"]) or launch.Ended())
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    for name in ("PYTHONPATH", "TORCH_CPP_LOG_LEVEL", "OMP_NUM_THREADS"):
        monkeypatch.setenv(name, "")  # so that what is set is taken back
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert processes.launch(made(2), read(["run", "data=digits", "-j", str(jobs)])) == 0
    assert seen == [threads]


def test_the_first_process_of_a_run_of_a_sweep_tells_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    class Watched(progress_file.ProgressFile):
        def _put(self, said: dict[str, Any]) -> None:
            super()._put(said)
            told.append(progress_file.progress_text(self._path.parent))

    monkeypatch.setattr(progress_file, "PAUSE_S", 0.0)
    monkeypatch.setattr(single_run, "ProgressFile", Watched)
    monkeypatch.setenv(processes.SWEEP, "sabc12 0.0")
    assert main(["run", *ALONE, "strategy=scratch", "--runs", str(tmp_path)]) == 0
    assert told[0] == "fine_tune"
    assert re.fullmatch(r"fine_tune \d+ %, \d\S*", told[1])
    (results,) = tmp_path.glob("scratch-digits/*/results.json")
    assert json.loads(results.read_text())["sweep"] == "sabc12"
    assert not list(tmp_path.glob("scratch-digits/*/.now*"))


class Late:
    """A launcher on this machine whose jobs are over at once, because their time is."""

    here, sentinel = True, None

    def __init__(self, *settings: Any) -> None:
        self.started: list[int] = []

    def start(self, task: Any) -> "Late":
        self.started.append(1)
        return self

    def code(self) -> int:
        return TIME_UP

    def stop(self) -> None: ...


def test_a_sweep_whose_time_is_over_stops_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    late = Late()
    monkeypatch.setattr(sweep, "launcher_of", lambda *_: late)
    words = ("-m", "data=digits", "model=mlp", "trainer=tiny", "seed=0,1", "runtime.max_time=1h")
    assert main(["run", *words, "--runs", str(tmp_path)]) == TIME_UP
    (ledger,) = tmp_path.glob("sweeps/*/sweep.json")
    assert [json.loads(ledger.read_text())[key] for key in ("status", "code")] == ["interrupted", TIME_UP]
    assert len(late.started) == 1


def test_a_sweep_does_not_run_under_torchrun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["run", "-m", "data=digits", "seed=0,1", "--runs", str(tmp_path)]) == 2
    assert "error: -m: a sweep starts the processes of its runs itself" in capsys.readouterr().err


# the whole, with a launcher
class Launched:
    """A command line in a process of its own, whose ranks can be found."""

    def __init__(self, runs: Path, *words: str) -> None:
        argv = [sys.executable, "-m", "transfer_cli", "run", *WORDS, *words, "--runs", str(runs)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def rank(self, place: int) -> int:
        pid = self.process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if f"RANK={place}" in Path(f"/proc/{child}/environ").read_text().split("\0"):
                return int(child)
        raise AssertionError(f"no rank {place}")

    def ended(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=300)
        return self.process.returncode, out, err


def saved(runs: Path) -> bool:
    """Waits until there is a resume file."""
    while not list(runs.glob(".store/*/resume-*")):
        time.sleep(0.05)
    return True


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has buried does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_one_command_starts_its_processes_and_answers_like_one(tmp_path: Path) -> None:
    code, out, err = Launched(tmp_path / "runs", "--json").ended()
    assert code == 0, err
    answer = json.loads(out)
    assert answer["schema"] == "results/2"
    assert "torch" not in err.replace("torchvision", "")


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 1])
def test_a_killed_process_ends_the_command_with_a_line(place: int, tmp_path: Path) -> None:
    launched = Launched(tmp_path / "runs", "trainer.steps=100000", "runtime.save_every=0")
    assert saved(tmp_path / "runs")
    os.kill(launched.rank(place), signal.SIGKILL)
    code, _, err = launched.ended()
    assert code == 6, err
    told = ["process 1 of 2: was killed by SIGKILL", "runtime.processes: one of the 2 processes was killed"][place]
    assert [line for line in err.splitlines() if line.startswith("error: ")] == [
        f"error: {told}, probably out of memory"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_command_saves_and_the_same_words_go_on(number: signal.Signals, tmp_path: Path) -> None:
    words = ("trainer.steps=300", "runtime.save_every=0")
    launched = Launched(tmp_path / "runs", *words)
    assert saved(tmp_path / "runs")
    launched.process.send_signal(number)
    code, _, err = launched.ended()
    assert code == 128 + number, err
    assert ", saved" in err
    assert not err.startswith("error")
    code, _, err = Launched(tmp_path / "runs", "trainer.steps=300").ended()
    assert code == 0, err
    assert "goes on at step" in err


@pytest.mark.slow
def test_processes_whose_launcher_died_save_and_end(tmp_path: Path) -> None:
    launched = Launched(tmp_path / "runs", "trainer.steps=100000", "runtime.save_every=0")
    assert saved(tmp_path / "runs")
    ranks = [launched.rank(0), launched.rank(1)]
    launched.process.kill()
    _, _, err = launched.ended()  # until the last of them has closed its stderr
    assert "stopped by SIGHUP" in err
    while any(map(alive, ranks)):
        time.sleep(0.05)


@pytest.mark.slow
def test_a_run_of_a_sweep_may_have_processes(tmp_path: Path) -> None:
    code, _, err = Launched(tmp_path / "runs", "-m", "seed=0,1").ended()
    assert code == 0, err
    (ledger,) = tmp_path.glob("runs/sweeps/*/sweep.json")
    found = json.loads(ledger.read_text())
    assert [row["state"] for row in found["runs"]] == ["done", "done"]
    results = [json.loads((tmp_path / "runs" / row["path"] / "results.json").read_text()) for row in found["runs"]]
    assert [result["sweep"] for result in results] == [found["id"]] * 2


DEADLY = """
import os
import signal

from transfer_cli.contracts import MethodInputs
from transfer_cli.methods.supervised import Supervised


class Deadly(Supervised):
    def __init__(self, given: MethodInputs, *, place: int | None = None) -> None:
        super().__init__(given)
        self.place = place

    def step(self, batch, at):
        if int(os.environ["RANK"]) == self.place:
            os.kill(os.getpid(), signal.SIGKILL)
        yield from super().step(batch, at)
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 1])
def test_a_killed_process_of_one_run_ends_that_run_and_not_its_sweep(
    place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lib" / "deadly_package"
    (package / "conf" / "method").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "deadly.py").write_text(DEADLY)
    (package / "conf" / "method" / "deadly.yaml").write_text("# Dies.\nmethod: deadly\nplace: null\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(package.parent), *sys.path]))
    words = ("-m", "strategy=scratch", "fine_tune=deadly", f"fine_tune.place={place},null", "plugins=[deadly_package]")
    code, _, err = Launched(tmp_path / "runs", *words).ended()
    assert code == 3, err
    (ledger,) = tmp_path.glob("runs/sweeps/*/sweep.json")
    found = json.loads(ledger.read_text())["runs"]
    assert [(row["state"], row["code"]) for row in found] == [("failed", 6), ("done", 0)]
    assert "killed" in err


@pytest.mark.slow
def test_torchrun_starts_them_too(tmp_path: Path) -> None:
    argv = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "transfer_cli", "run", *WORDS, "-q"]
    done = subprocess.run([sys.executable, "-m", *argv, "--runs", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (stage, *_) = tmp_path.glob(".store/*/stage.json")
    identities = {json.loads(p.read_text())["identity"]["processes"] for p in stage.parents[1].glob("*/stage.json")}
    assert identities == {1, 2}
