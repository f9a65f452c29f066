"""transfer list, compare, doctor and the first screen: what they print, what they refuse, what they never import."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from transfer_cli.cli import first
from transfer_cli.cli.list import groups
from transfer_cli.cli.main import main
from transfer_cli.cli.table import COMMANDS
from transfer_cli.runner import doctor, local_inventory

HEAVY = ("torch", "pandas", "numpy", "hydra", "omegaconf", "yaml", "transformers", "matplotlib", "rich")
Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(tmp_path: Path, capsys: Any, monkeypatch: Any) -> Cli:
    """The program with an empty runs folder; returns code, stdout, stderr."""
    monkeypatch.delenv("TRANSFER_DATA", raising=False)
    monkeypatch.setenv("TRANSFER_RUNS", str(tmp_path / "runs"))
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


def add_run(runs: Path, number: int, **changed: Any) -> dict[str, Any]:
    results: dict[str, Any] = {
        "id": f"k{number:05}",
        "name": "dann-usps",
        "status": "done",
        "code": 0,
        "started": "2026-11-22T10:15:02Z",
        "words": ["strategy=dann", "data=usps", f"seed={number}"],
        "choices": {"strategy": "dann", "source": "mnist", "data": "usps", "model": "lenet"},
        "config": {"seed": number, "data": {"family": "usps"}},
        "stages": [{"name": "evaluate", "key": f"{number:032x}"}],
        "metrics": {"final": {"test/accuracy": 0.9 + number / 1000, "test/accuracy_ci95": 0.012}},
        "headline": {"name": "test/accuracy", "rule": "final", "value": 0.916, "ci95": 0.012, "n": 9, "over": "rows"},
        "cost": {"seconds": 382.0},
        "fingerprints": {"test": {"data": "1f3a"}},
        **changed,
    }  # fmt: skip
    folder = runs / "dann-usps" / f"20261122T10{number // 60 % 60:02}{number % 60:02}Z-k{number:05}"
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(results))
    return results


def test_an_empty_list_says_how_to_begin(cli: Cli) -> None:
    code, out, _ = cli("list", "--format", "table")
    assert code == 0
    assert " ".join(out.split()).startswith("no runs in ")  # a long path stands on a line of its own
    assert out.splitlines()[-1] == "next  transfer run experiment=hello"


def test_list_is_newest_first_and_says_how_each_ended(cli: Cli, tmp_path: Path) -> None:
    add_run(tmp_path / "runs", 1)
    add_run(tmp_path / "runs", 2, status="failed", code=7, headline=None, cost={})
    add_run(tmp_path / "runs", 3, status="running", code=None, headline=None, started="broken")
    _, out, _ = cli("list", "--format", "table")
    lines = out.splitlines()
    assert lines[1].split()[0] == "k00003"
    assert "died" in lines[1]
    assert "failed [7]" in out
    assert "accuracy 91.6 ±1.2" in out
    assert "6m 22s" in out
    assert lines[-1] == "next  transfer show k00003"


def test_list_gives_machines_ends_between_0_and_1(cli: Cli, tmp_path: Path) -> None:
    head = {"name": "test/accuracy", "rule": "final", "value": 1.0, "ci95": 0.058, "n": 29}
    add_run(tmp_path / "runs", 1, headline=head | {"over": "test pictures"})
    add_run(tmp_path / "runs", 2, headline=head | {"over": "draws of 5-way 1-shot"})
    rows = json.loads(cli("list", "--json")[1])["rows"]
    assert [row["hi"] for row in rows] == [1.0, 1.0]
    assert [row["lo"] for row in rows] == pytest.approx([0.942, 0.883], abs=1e-3)


def test_list_shows_the_newest_20_and_says_that_there_are_more(cli: Cli, tmp_path: Path) -> None:
    for number in range(25):
        add_run(tmp_path / "runs", number)
    _, out, _ = cli("list", "--format", "table")
    assert out.count("dann") == 20
    assert "5 older runs: --all" in out
    assert cli("list", "--all", "--format", "table")[1].count("dann") == 25
    machine = cli("list")[1].splitlines()
    assert len(machine) == 26
    assert machine[0].split("\t")[:4] == ["run", "time", "strategy", "data"]
    assert "2026-11-22T10:15:02Z" in machine[1]


def test_list_sorts_and_limits(cli: Cli, tmp_path: Path) -> None:
    for number, cost in ((1, 30.0), (2, 10.0), (3, 20.0)):
        add_run(tmp_path / "runs", number, cost={"seconds": cost})
    rows = json.loads(cli("list", "--json", "--sort", "cost", "--limit", "2")[1])["rows"]
    assert [row["cost_s"] for row in rows] == [10.0, 20.0]
    code, _, err = cli("list", "--sort", "costs")
    assert code == 2
    assert err == "error: --sort=costs: no such column; nearest: cost\n"


@pytest.mark.parametrize("group", sorted(groups()))
def test_every_group_can_be_listed(cli: Cli, group: str) -> None:
    code, out, _ = cli("list", group, "--json")
    assert code == 0
    assert json.loads(out)["schema"] == "list/1"


def test_strategies_are_listed_as_what_they_choose(cli: Cli) -> None:
    rows = {row["strategy"]: row for row in json.loads(cli("list", "strategies", "--json")[1])["rows"]}
    few_shot, scratch = rows["few_shot"], rows["scratch"]
    assert (few_shot["pretrain"], few_shot["fine_tune"], few_shot["predictor"]) == ("supervised", "none", "prototypes")
    assert (scratch["pretrain"], scratch["align"], scratch["fine_tune"]) == ("none", "none", "full")
    assert few_shot["example"].startswith("transfer run strategy=few_shot")
    assert few_shot["what"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("list", "stategies"), "error: list=stategies: no such group; nearest: strategies"),
        (
            ("list", "data", "models"),
            "error: list=models: takes one group: runs, sweeps, data, experiments, methods, models",
        ),
        (("compare", "data=usps"), "error: run last: no runs in"),
        (("compare",), "error: run last: no runs in"),
        (("compare", "k8q"), "error: run k8q: none begins so"),
    ],
)
def test_what_cannot_be_listed_or_compared_is_said(cli: Cli, words: tuple[str, ...], line: str) -> None:
    code, out, err = cli(*words)
    assert code == 2
    assert err.startswith(line)
    assert out == ""


def test_compare_reads_the_runs_it_is_given(cli: Cli, tmp_path: Path) -> None:
    for number in range(3):
        add_run(tmp_path / "runs", number)
    code, out, err = cli("compare", "dann-*", "k00001")
    assert code == 0
    names, row = (line.split("\t") for line in out.splitlines())
    assert dict(zip(names, row, strict=True))["n"] == "3"
    assert "± 95 % over seeds" in err


def test_compare_refuses_other_test_pictures(cli: Cli, tmp_path: Path) -> None:
    add_run(tmp_path / "runs", 1)
    add_run(tmp_path / "runs", 2, fingerprints={"test": {"data": "77aa"}})
    code, out, err = cli("compare", "dann-*")
    assert (code, out) == (2, "")
    assert "error: compare: not tested on the same rows: k00001 on usps" in err
    assert "; k00002 on usps" in err


def test_the_first_screen_names_only_commands_that_exist(cli: Cli) -> None:
    code, out, _ = cli()
    assert code == 0
    lines = first.lines()
    assert max(map(len, lines)) <= 80
    for _, command in first.GOALS:
        program, name, *_ = command.split()
        assert program == "transfer"
        assert name in COMMANDS
        assert command in "\n".join(lines)
        assert command in out


def test_the_first_screen_says_what_is_here(cli: Cli, tmp_path: Path, monkeypatch: Any) -> None:
    add_run(tmp_path / "runs", 1)
    for name in ("data/USPS/usps.bz2", "data/weights/a.pth", "data/empty/x"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    assert local_inventory.data_sets(tmp_path / "runs") == ["digits", "usps"]
    assert (
        cli()[2].splitlines()[-1]
        == f"here: 2 data sets, 1 weights file, 1 run; cpu, {local_inventory.threads()} threads."
    )


def test_doctor_reports_every_topic(cli: Cli, tmp_path: Path) -> None:
    code, out, _ = cli("doctor", "--json")
    assert code == 0
    rows = json.loads(out)["rows"]
    assert {row["topic"] for row in rows} >= {"program", "device", "load", "store", "data", "weights", "config"}
    assert {row["level"] for row in rows} <= {"ok", "warn", "off", "note"}
    assert "TRANSFER_DATA is not set" in out
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("mlp", [f"model.precision={p} model.channels_last={c}" for p in ("fp32", "bf16") for c in ("false", "true")]),
        ("gpt_tiny", ["model.precision=fp32", "model.precision=bf16"]),
        ("bert_tiny", ["model.precision=fp32", "model.precision=bf16"]),
    ],
)
def test_doctor_times_the_variants_of_a_net(model: str, words: list[str], cli: Cli, monkeypatch: Any) -> None:
    from transfer_cli.runner import step_timing

    monkeypatch.setattr(step_timing, "SECONDS", 0.0)
    size = [] if model == "mlp" else ["model.layers=1", "model.heads=2", "model.width=16", "model.input.length=8"]
    code, out, _ = cli("doctor", f"model={model}", "trainer.batch=4", *size, "--json")
    assert code == 0
    document = json.loads(out)
    assert [row["words"] for row in document["rows"]] == words
    assert [row["words"] for row in document["rows"] if row["take"]] == [document["take"]]
    assert [row["words"] for row in document["rows"] if row["now"]] == words[:1]  # as their YAMLs say
    for row in document["rows"]:
        assert row["rounds"] == 3
        for work in ("train", "evaluate"):
            assert 0 < row[f"{work}_min_s"] <= row[f"{work}_median_s"]


def test_doctor_refuses_a_net_that_is_none(cli: Cli) -> None:
    code, _, err = cli("doctor", "model=resnet19")
    assert code == 2
    assert err.startswith("error: model=resnet19: unknown; nearest: resnet1")


def test_contestants_take_turns_and_the_plainer_wins_a_tie() -> None:
    from transfer_cli.engine.interleaved_timing import turns
    from transfer_cli.engine.timing import fastest

    seen: list[str] = []
    taken = turns({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, rounds=3, warm=2)
    assert "".join(seen) == "ababababab"
    assert {name: len(seconds) for name, seconds in taken.items()} == {"a": 3, "b": 3}
    assert fastest(iter([("a", 1.04), ("b", 1.0), ("c", 1.2)])) == "a"
    assert fastest(iter([("a", 1.06), ("b", 1.0), ("c", 0.99)])) == "b"


def test_doctor_finds_data_and_a_folder_that_is_not_there(cli: Cli, monkeypatch: Any) -> None:
    monkeypatch.setenv("TRANSFER_DATA", "nowhere")
    assert "warn\tdata\tTRANSFER_DATA=nowhere: no such folder" in cli("doctor")[1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_doctor_names_a_store_it_cannot_write(cli: Cli, tmp_path: Path) -> None:
    from transfer_cli.store.store import Store

    Store(tmp_path / "runs" / ".store")
    (tmp_path / "runs" / ".store").chmod(0o555)
    code, out, _ = cli("doctor")
    assert code == 5
    assert "FAIL\tstore" in out


def test_doctor_says_that_the_store_works(cli: Cli, tmp_path: Path) -> None:
    from transfer_cli.store.store import Store

    Store(tmp_path / "runs" / ".store")
    assert "store: writable, locks work, 0 stages" in cli("doctor")[1].replace("runs/.", "")


def test_doctor_names_a_store_of_a_newer_program(cli: Cli, tmp_path: Path) -> None:
    from transfer_cli.store.store import Store

    Store(tmp_path / "runs" / ".store")
    path = tmp_path / "runs" / ".store" / "FORMAT"
    path.chmod(0o644)
    path.write_text('{"store": 2}')
    code, out, _ = cli("doctor")
    assert code == 5
    assert "FAIL\tstore" in out


def test_cpu_flags_are_read_from_the_first_core(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nflags\t\t: fpu avx2 amx_bf16\nprocessor: 1\nflags\t: other\n")
    assert doctor.cpu_flags(tmp_path / "cpuinfo") == {"fpu", "avx2", "amx_bf16"}
    assert doctor.cpu_flags(tmp_path / "none") == frozenset()


@pytest.mark.parametrize("words", [["list"], ["list", "--json"], ["list", "strategies"], ["list", "models"], []])
def test_list_and_the_first_screen_import_nothing_heavy(tmp_path: Path, words: list[str]) -> None:
    add_run(tmp_path / "runs", 1)
    script = (
        "import sys; from transfer_cli.cli.main import main; code = main(sys.argv[1:]); "
        f"print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr); sys.exit(code)"
    )
    environment = {"PATH": os.environ["PATH"], "TRANSFER_RUNS": str(tmp_path / "runs"), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines()[-1] == "[]"


def test_compare_and_doctor_import_no_torch(tmp_path: Path) -> None:
    add_run(tmp_path / "runs", 1)
    script = (
        "import sys; from transfer_cli.cli.main import main; main(['compare']); main(['doctor']); "
        "sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    )
    environment = {"PATH": os.environ["PATH"], "TRANSFER_RUNS": str(tmp_path / "runs"), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 0


def test_the_clock_of_a_run_in_the_future_is_no_trouble() -> None:
    from transfer_cli.analysis.numbers import ago, utc

    assert ago(utc("2030-01-01T00:00:00Z"), datetime(2026, 1, 1, tzinfo=UTC)) == "just now"
