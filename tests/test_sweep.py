"""Sweeps: what is shared is computed once, who fails or dies takes nobody along, the same words run what is missing."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from transfer_cli.cli.main import main
from transfer_cli.store.store import Store

SMALL = ("data=digits", "model=mlp", "trainer=tiny", "runtime=cpu")
DEADLY = '''
"""Kills its process, as the kernel does when memory runs out, until a file says otherwise."""

import os
import signal
from pathlib import Path

from transfer_cli.contracts import MethodInputs
from transfer_cli.methods.supervised import Supervised


class Deadly(Supervised):
    def __init__(self, given: MethodInputs, *, blocks: int | None = None) -> None:
        super().__init__(given, blocks=blocks)

    def step(self, batch, at):
        if at.step == 1 and not Path(__file__).with_name("spared").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        yield from super().step(batch, at)
'''


def sweep(runs: Path, *words: str) -> int:
    return main(["run", "-m", *SMALL, *words, "--runs", str(runs)])


def ledgers(runs: Path) -> list[dict[str, Any]]:
    """Every sweep.json, in order of their start."""
    order = [line.split()[0] for line in (runs / ".order").read_text().splitlines()]
    folders = sorted((runs / "sweeps").iterdir(), key=lambda path: order.index(f"sweeps/{path.name}"))
    return [json.loads((folder / "sweep.json").read_text()) for folder in folders]


def states(ledger: dict[str, Any]) -> list[tuple[str, int]]:
    return [(row["state"], row["code"]) for row in ledger["runs"]]


def trainings(runs: Path) -> dict[str, int]:
    """How many sessions worked on each stage, by key: a line of timing.jsonl each."""
    store = Store(runs / ".store", create=False)
    return {key: len((store.path(key) / "timing.jsonl").read_text().splitlines()) for key in sorted(store.keys())}


def pretrained(runs: Path) -> list[str]:
    specs = {key: json.loads((runs / ".store" / key / "stage.json").read_text())["spec"] for key in trainings(runs)}
    return [key for key, spec in specs.items() if spec.get("role") == "pretrain"]


def results(runs: Path, row: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads((runs / row["path"] / "results.json").read_text()))


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs, the second of which diverges, as the first command left them."""
    runs = tmp_path_factory.mktemp("failed") / "runs"
    assert sweep(runs, "fine_tune.trainer.lr=0.05,1e30,0.01,0.02") == 3
    return runs


def test_one_that_fails_does_not_stop_the_rest(failed: Path) -> None:
    (ledger,) = ledgers(failed)
    assert (ledger["status"], ledger["code"]) == ("failed", 3)
    assert states(ledger)[:4] == [("done", 0), ("failed", 7), ("done", 0), ("done", 0)]
    assert [row["words"][-1] for row in ledger["runs"]] == [
        f"fine_tune.trainer.lr={lr}" for lr in ("0.05", "1e30", "0.01", "0.02")
    ]
    assert [results(failed, row)["status"] for row in ledger["runs"]] == ["done", "failed", "done", "done"]
    links = sorted((failed / "sweeps").glob("*/runs/*"))
    assert [link.resolve() for link in links] == [(failed / row["path"]).resolve() for row in ledger["runs"]]


def test_what_runs_share_is_trained_once(failed: Path) -> None:
    (key,) = pretrained(failed)
    assert set(trainings(failed).values()) == {1}
    (ledger,) = ledgers(failed)
    cached = [[stage["cached"] for stage in results(failed, row)["stages"] if stage["key"]] for row in ledger["runs"]]
    assert cached == [[False, False, False], [], [True, False, False], [True, False, False]]
    assert {results(failed, row)["stages"][0]["key"] for row in ledger["runs"] if row["code"] == 0} == {key}


def test_the_same_words_run_what_is_missing_and_tell_the_failure_again(
    failed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, (first,) = trainings(failed), ledgers(failed)
    for again in (
        lambda: sweep(failed, "fine_tune.trainer.lr=0.05,1e30,0.01,0.02"),
        lambda: main(["resume", first["id"], "--runs", str(failed)]),
    ):
        assert again() == 3
        assert trainings(failed) == before
        (ledger,) = ledgers(failed)  # the sweep went on, no new one
        assert [row["path"] for row in ledger["runs"]] == [row["path"] for row in first["runs"]]
        out, err = capsys.readouterr()
        log = failed / first["runs"][1]["path"] / "log.txt"
        listed = " ".join(err[err.index("run") :].split())  # what the table of failures has no room for stands below
        assert f"{first['runs'][1]['id']} fine_tune.trainer.lr=1e30 failed [7]" in listed
        assert f"log {log}" in listed
        assert (
            f"error: sweep {first['id']}: 3 of 4 done, 1 failed\n  do: transfer resume {first['id']} --retry-failed"
            in err
        )
        assert "non-finite loss at step" in log.read_text()
        table = [dict(zip(out.split("\n")[0].split("\t"), line.split("\t"))) for line in out.splitlines()[1:]]
        found = {row["fine_tune.trainer.lr"]: (row["n"], row["n_failed"]) for row in table}
        assert found == {"0.05": ("1", "0"), "1e+30": ("0", "1"), "0.01": ("1", "0"), "0.02": ("1", "0")}


def test_every_test_set_has_a_table_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("strategy=scratch", "data.shift=null,inverted", "fine_tune.trainer.lr=0.05,1e30", "--format", "md")
    assert sweep(tmp_path, *words) == 3
    told = capsys.readouterr().out
    first, second = told.split("| run |")[1:]
    for table, title in ((first, "\ndigits, scratch"), (second, "\ndigits inverted, scratch")):
        assert [line.split("|")[2].strip() for line in table.splitlines() if line.startswith("| ")][-2:] == [
            "0.05",
            "1e+30",
        ]
        assert title in table


def test_a_finished_sweep_again_trains_nothing_and_imports_no_torch(tmp_path: Path) -> None:
    assert sweep(tmp_path, "strategy=scratch", "seed=0,1") == 0
    before = trainings(tmp_path)
    script = """
        import sys
        from transfer_cli.cli.main import main
        code = main(sys.argv[1:])
        print(code, sorted({"torch", "matplotlib", "pandas"} & sys.modules.keys()))
    """
    argv = ["run", "-m", *SMALL, "strategy=scratch", "seed=0,1", "--runs", str(tmp_path)]
    code = "\n".join(line[8:] for line in script.splitlines())
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["0 []"], done.stdout + done.stderr
    assert trainings(tmp_path) == before
    first, second = ledgers(tmp_path)
    assert first["id"] != second["id"]
    assert states(second) == [("done", 0), ("done", 0)]
    assert all(stage["cached"] for row in second["runs"] for stage in results(tmp_path, row)["stages"] if stage["key"])
    figures = [(tmp_path / ledger["runs"][0]["path"] / "curves.png").read_bytes() for ledger in (first, second)]
    assert figures[0] == figures[1]


def test_compare_groups_a_sweep_over_its_seeds(
    failed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(tmp_path, "strategy=scratch,fine_tune", "source=digits", "--seeds", "2") == 0
    (ledger,) = ledgers(tmp_path)
    assert len(ledger["runs"]) == 4
    capsys.readouterr()
    assert main(["compare", ledger["id"], "--runs", str(tmp_path), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    values: dict[str, list[float]] = {}
    for row in ledger["runs"]:
        found = results(tmp_path, row)
        values.setdefault(found["choices"]["strategy"], []).append(found["headline"]["value"])
    assert {row["strategy"]: row["n"] for row in rows} == {"scratch": 2, "fine_tune": 2}
    for row in rows:
        mine = values[row["strategy"]]
        assert any(value == pytest.approx(sum(mine) / 2) for value in row.values() if isinstance(value, float))
    assert main(["compare", ledgers(failed)[0]["id"], "--runs", str(failed)]) == 0
    out, err = capsys.readouterr()
    assert "one seed" in out + err or "single" in out + err


def test_a_sweep_is_found_listed_and_told_as_its_ledger(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*argv: str) -> tuple[int, str, str]:
        code = main([*argv, "--runs", str(tmp_path)])
        return code, *capsys.readouterr()

    words = ("run", "-m", *SMALL, "strategy=scratch", "trainer.lr=0.05,1e30")
    code, out, err = told(*words, "--json")
    (ledger,) = ledgers(tmp_path)
    assert code == 3
    assert json.loads(out) == ledger
    assert ledger["schema"] == "sweep/1"
    assert json.loads(err.splitlines()[-1])["error"]["code"] == 3
    (row,) = json.loads(told("list", "sweeps", "--json")[1])["rows"]
    assert (row["sweep"], row["runs"], row["done"], row["state"]) == (ledger["id"], 2, 1, "failed [3]")
    assert row["words"] == " ".join(words[2:])
    assert told("list", "sweeps", "--format", "table")[1].splitlines()[-1] == f"next  transfer resume {ledger['id']}"
    code, _, err = told("resume", "strategy=scratch", "data=digits")  # its runs mean the sweep
    assert code == 3
    assert f"sweep {ledger['id']}: 1 of 2 done, 1 failed" in err


# children that die, signals
@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "lib" / "deadly_package"
    (package / "conf" / "method").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "deadly.py").write_text(DEADLY)
    (package / "conf" / "method" / "deadly.yaml").write_text("# Dies.\nmethod: deadly\nblocks: null\n")
    monkeypatch.syspath_prepend(str(package.parent))
    return package


def test_a_child_that_is_killed_is_told_and_the_rest_runs(
    tmp_path: Path, deadly: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["fine_tune=deadly,partial", "plugins=[deadly_package]"]
    assert sweep(tmp_path / "runs", *words) == 3
    (ledger,) = ledgers(tmp_path / "runs")
    assert states(ledger) == [("died", 137), ("done", 0)]
    err = capsys.readouterr().err
    assert "died [137]" in err
    assert f"1 of 2 done, 1 failed\n  do: transfer resume {ledger['id']} --retry-failed" in err
    (deadly / "spared").touch()
    assert sweep(tmp_path / "runs", *words) == 0
    (ledger,) = ledgers(tmp_path / "runs")
    assert (ledger["status"], states(ledger)) == ("done", [("done", 0), ("done", 0)])
    assert len(pretrained(tmp_path / "runs")) == 1


@pytest.mark.parametrize("to_all", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_an_interrupted_sweep_saves_and_goes_on(tmp_path: Path, to_all: bool) -> None:
    """The signal reaches the sweep alone (kill), or the run as well (Ctrl-C in a terminal)."""
    runs, fifo = tmp_path / "runs", tmp_path / "fifo"
    os.mkfifo(fifo)
    package = tmp_path / "lib" / "slow_package"
    (package / "conf" / "method").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "slow.py").write_text(SLOW.format(fifo=str(fifo)))
    (package / "conf" / "method" / "slow.yaml").write_text("# Waits.\nmethod: slow\n")
    argv = ["run", "-m", *SMALL, "fine_tune=slow", "seed=0,1", "plugins=[slow_package]", "--runs", str(runs)]
    command = [sys.executable, "-m", "transfer_cli", *argv]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(package.parent), *sys.path])}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )
    fifo.read_text()  # the first run is in its step
    if to_all:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    (ledger,) = ledgers(runs)
    assert process.returncode == 130, err
    assert (ledger["status"], ledger["code"]) == ("interrupted", 130)
    assert [row["state"] for row in ledger["runs"]] == ["interrupted", "to do"]
    assert "fine_tune 1 of 3, saved" in err
    assert f"transfer resume {ledger['id']}" in err
    assert "leaving now" not in err
    assert "Traceback" not in err


SLOW = '''
import signal
from pathlib import Path

from transfer_cli.contracts import MethodInputs
from transfer_cli.methods.supervised import Supervised


class Slow(Supervised):
    def __init__(self, given: MethodInputs) -> None:
        super().__init__(given)

    def step(self, batch, at):
        """Says that it is here, then waits for the signal."""
        if at.step == 0:
            Path({fifo!r}).write_text("here")
            signal.pause()
        yield from super().step(batch, at)
'''
