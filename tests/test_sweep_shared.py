"""Sweeps under hard conditions: bad runs of every kind, several at a time, several terminals, a kill."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from victims import Victim

from transfer_cli.cli.main import main
from transfer_cli.config.folders import conf_dir
from transfer_cli.engine.device import setup
from transfer_cli.engine.settings import Runtime
from transfer_cli.runner import single_run

SMALL = ("data=digits", "model=mlp", "trainer=tiny", "runtime=cpu", "plugins=[odd_package]")
# a method that does what `how` says in its first step, and notes each time it is begun
ODD = '''
import os
import signal
import sys
import time
from pathlib import Path
from typing import Literal

from transfer_cli.contracts import MethodInputs
from transfer_cli.errors import ConfigError, Fault, ResourceError
from transfer_cli.methods.supervised import Supervised

HERE = Path(__file__).parent


class Odd(Supervised):
    def __init__(
        self,
        given: MethodInputs,
        *,
        how: Literal["well", "raise", "exit", "kill", "value", "disk", "memory", "meet", "hold"] = "well",
        me: int = 0,
    ) -> None:
        super().__init__(given)
        self.how, self.me = how, me

    def step(self, batch, at):
        if at.step == 1 and not (HERE / "spared").exists():
            with open(HERE / "begun", "a") as file:
                file.write(f"{self.how} {self.me}\\\\n")
            getattr(self, self.how)()
        yield from super().step(batch, at)

    def well(self):
        pass

    def raise_(self):
        raise RuntimeError("a bug of a method")

    def exit(self):
        sys.exit(0)

    def kill(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def value(self):
        raise ConfigError(Fault("fine_tune.k", "larger than the batch", "9"))

    def disk(self):
        raise ResourceError(Fault("runs/.store", "no space: need 52 MB, have 9 MB"))

    def memory(self):
        raise MemoryError

    def meet(self):
        """Goes on when another run stands here, too."""
        (HERE / f"here {os.getpid()}").touch()
        self._until(lambda: len(list(HERE.glob("here *"))) >= 2)

    def hold(self):
        """Tells that it is here, and stays."""
        if self.me == 1:
            (HERE / "held").touch()
            self._until((HERE / "spared").exists)

    def _until(self, met):
        for _ in range(12000):
            if met():
                return
            time.sleep(0.01)
        raise RuntimeError("nobody came")
'''.replace("\\\\n", "\\n").replace(
    "getattr(self, self.how)()", "getattr(self, {'raise': 'raise_'}.get(self.how, self.how))()"
)


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "lib" / "odd_package"
    (package / "conf" / "method").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "odd.py").write_text(ODD)
    (package / "conf" / "method" / "odd.yaml").write_text("# Odd.\nmethod: odd\nhow: well\nme: 0\n")
    monkeypatch.syspath_prepend(str(package.parent))
    return package


def argv(runs: Path, *words: str) -> list[str]:
    return ["run", "-m", *SMALL, "fine_tune=odd", *words, "--runs", str(runs)]


def ledger(runs: Path) -> dict[str, Any]:
    (path,) = (runs / "sweeps").glob("*/sweep.json")
    return dict(json.loads(path.read_text()))


def sessions(runs: Path) -> list[int]:
    """How often somebody worked on each stage."""
    return [len(path.read_text().splitlines()) for path in (runs / ".store").glob("*/timing.jsonl")]


def begun(odd: Path) -> list[str]:
    lines = (odd / "begun").read_text().splitlines()
    (odd / "begun").unlink()
    return lines


MEASURED = ("run", "cost_s", "peak_bytes", "pareto")  # columns that differ from run to run


def until(met: Callable[[], bool]) -> None:
    for _ in range(12000):
        if met():
            return
        time.sleep(0.01)
    raise AssertionError("it never came")


def table(out: str) -> list[dict[str, str]]:
    """Rows of compare's TSV without what differs from run to run."""
    lines = [line.split("\t") for line in out.splitlines() if "\t" in line]
    rows = [dict(zip(lines[0], line)) for line in lines[1:]]
    return [{name: value for name, value in row.items() if name not in MEASURED} for row in rows]


@pytest.mark.slow
def test_bad_runs_of_every_kind_take_nobody_along(tmp_path: Path, odd: Path, capsys: Any) -> None:
    runs, ways = tmp_path / "runs", ("raise", "well", "exit", "kill", "value")
    command = argv(runs, f"fine_tune.how={','.join(ways)}")
    assert main(command) == 3
    found = ledger(runs)
    assert [(row["state"], row["code"]) for row in found["runs"]] == [
        ("failed", 1),
        ("done", 0),
        ("failed", 1),
        ("died", 137),
        ("failed", 2),
    ]
    out, err = capsys.readouterr()
    for row, why in zip(
        found["runs"], ("RuntimeError: a bug of a method", "", "SystemExit: 0", "", "fine_tune.k=9: larger")
    ):
        log = runs / row["path"] / "log.txt"
        if row["state"] != "done":
            assert f"log {log}" in " ".join(err.split())
            assert f"{row['state']} [{row['code']}]" in err
            assert why in err
            assert why in log.read_text()
    assert "1 of 5 done, 4 failed" in err
    assert sorted(row["n"] for row in table(out)) == ["0", "0", "0", "0", "1"]
    assert begun(odd) == [f"{way} 0" for way in ways]
    assert main(command) == 3  # again: those four alone
    assert begun(odd) == [f"{way} 0" for way in ways if way != "well"]
    (odd / "spared").touch()
    assert main(["resume", found["id"], "--runs", str(runs), "plugins=[odd_package]"]) == 0
    assert {row["state"] for row in ledger(runs)["runs"]} == {"done"}
    assert [row["path"] for row in ledger(runs)["runs"]] == [row["path"] for row in found["runs"]]


def test_fail_fast_stops_at_the_first_failure(tmp_path: Path, odd: Path, capsys: Any) -> None:
    assert main([*argv(tmp_path / "runs", "fine_tune.how=well,raise,value"), "--fail-fast"]) == 3
    assert [row["state"] for row in ledger(tmp_path / "runs")["runs"]] == ["done", "failed", "to do"]
    assert "1 of 3 done, 1 failed, 1 to do" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("how", "code", "states"),
    [
        ("disk", 6, [("failed", 6), ("to do", None)]),  # every run would meet it
        ("memory", 3, [("failed", 6), ("done", 0)]),  # another run may need less
    ],
)
def test_a_full_disk_stops_a_sweep_and_a_full_memory_one_run(
    how: str, code: int, states: list[tuple[str, int | None]], tmp_path: Path, odd: Path
) -> None:
    assert main(argv(tmp_path / "runs", f"fine_tune.how={how},well")) == code
    found = ledger(tmp_path / "runs")
    assert [(row["state"], row["code"]) for row in found["runs"]] == states
    assert (found["status"], found["code"]) == ("failed", code)


def test_two_at_a_time_share_the_cores_and_do_not_wait_for_each_other(
    tmp_path: Path, odd: Path, monkeypatch: Any
) -> None:
    """A run goes on only if another is at work with it; each pretraining is shared by two runs, and the second run to
    begin is one that need not wait for the first."""
    runs = tmp_path / "runs"
    words = ("fine_tune.how=meet", "pretrain.trainer.lr=0.05,0.04", "fine_tune.me=0,1")
    assert main([*argv(runs, *words), "-j", "2"]) == 0
    rows = ledger(runs)["runs"]
    starts = [line.split()[0] for line in (runs / ".order").read_text().splitlines() if not line.startswith("sweeps")]
    first = list(dict.fromkeys(starts))[:2]
    assert first == [rows[0]["path"], rows[2]["path"]]
    assert sessions(runs) == [1] * 10  # 2 pretrainings, 4 fine-tunings, 4 evaluations
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        setup(Runtime(device="cpu"), at_once=2)
        assert torch.get_num_threads() == 2
        setup(Runtime(device="cpu", threads=3), at_once=2)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    monkeypatch.setattr(single_run.sys, "modules", {})
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    single_run.quiet_threads(at_once=2)
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_two_terminals_share_one_sweep(tmp_path: Path, odd: Path) -> None:
    """Started at once, one run at a time each: the runs meet, so both terminals compute; each stage is trained once."""
    runs = tmp_path / "runs"
    command = argv(runs, "fine_tune.how=meet", "fine_tune.me=0,1,2,3")
    terminals = [Victim(command, tmp_path / f"out{number}") for number in range(2)]
    ended = [terminal.join() for terminal in terminals]
    assert [code for code, _ in ended] == [0, 0], ended
    found = ledger(runs)
    assert (found["status"], [row["state"] for row in found["runs"]]) == ("done", ["done"] * 4)
    assert sessions(runs) == [1] * 9
    assert len(list((runs / "fine_tune-digits").iterdir())) == 4
    assert sorted(begun(odd)) == [f"meet {number}" for number in range(4)]
    tables = [table(out) for _, out in ended]
    assert tables[0] == tables[1]
    assert len(tables[0]) == 4


@pytest.mark.slow
def test_a_sweep_that_is_killed_goes_on_to_the_same_table(tmp_path: Path, odd: Path, capsys: Any) -> None:
    runs = tmp_path / "runs"
    command = argv(runs, "fine_tune.how=hold", "fine_tune.me=0,1,2")
    victim = Victim(command, tmp_path / "out")
    until((odd / "held").exists)  # the second run is in its second step
    victim.kill()
    assert victim.join()[0] == -signal.SIGKILL
    assert [row["state"] for row in ledger(runs)["runs"]] == ["done", "running", "to do"]
    (odd / "spared").touch()
    assert main(["resume", "last", "--runs", str(runs), "plugins=[odd_package]"]) == 0
    killed = capsys.readouterr().out
    assert [row["state"] for row in ledger(runs)["runs"]] == ["done"] * 3
    assert len(list((runs / "fine_tune-digits").iterdir())) == 3
    assert main(argv(tmp_path / "other", "fine_tune.how=hold", "fine_tune.me=0,1,2")) == 0
    assert table(killed) == table(capsys.readouterr().out) != []


def test_globs_and_ranges_name_what_there_is(transfer: Any) -> None:
    told = transfer("run", "-m", "-n", "data=digits", "model=mlp", "strategy=zz*")
    assert told.code == 2
    assert told.errors[0].startswith("error: strategy=zz*: matches no option; see transfer list strategy")
    Path("conf/strategy").mkdir(parents=True)
    Path("conf/strategy/scratch_own.yaml").write_text((conf_dir() / "strategy" / "scratch.yaml").read_text())
    told = transfer("run", "-m", "--cfg", "data=digits", "model=mlp", "strategy=scratch*", "seed=0..1", "--json")
    assert told.code == 0, told.err
    found = [(run["strategy"], run["seed"]) for run in json.loads(told.out)["runs"]]
    assert found == [("scratch", 0), ("scratch", 1), ("scratch_own", 0), ("scratch_own", 1)]
