"""Run and sweep directories: made, continued, found again, and safe to hand around."""

import json
import os
import re
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from toystage import Child, in_child

from transfer_cli.errors import ConfigError, ResourceError, StoreError
from transfer_cli.rundir import rundir
from transfer_cli.rundir.rundir import RunDir, find, listing, new_id
from transfer_cli.rundir.runs import ago
from transfer_cli.rundir.sweepdir import SweepDir


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def start(runs: Path, name: str = "dann-usps", digest: str = "d1", **other: Any) -> RunDir:
    strategy, data = name.split("-")
    head: dict[str, Any] = {
        "words": ["strategy=dann", "data=usps"],
        "config": {"seed": 0},
        "config_text": "seed: 0\n",
        "choices": {"strategy": strategy, "data": data},
    }
    return RunDir.open(runs, name, digest, **{**head, **other})


def finished(runs: Path, name: str = "dann-usps", digest: str = "d1", **other: Any) -> RunDir:
    run = start(runs, name, digest, **other)
    run.close("done", 0)
    return run


def test_a_new_run_explains_itself(runs: Path) -> None:
    run = start(runs, argv=["transfer", "run", "data=usps"])
    assert re.fullmatch(r"\d{8}T\d{6}Z-[a-hjkmnp-rtv-z][0-9a-hjkmnp-tv-z]{5}", run.path.name)
    assert run.path.parent == runs / "dann-usps"
    assert (run.path / "config.yaml").read_text() == "seed: 0\n"
    assert (run.path / "overrides.txt").read_text() == "transfer run strategy=dann data=usps\n"
    results = json.loads((run.path / "results.json").read_text())
    assert (results["schema"], results["id"], results["status"]) == ("results/2", run.id, "running")
    assert (results["code"], results["ended"], results["stages"]) == (None, None, [])
    env = json.loads((run.path / "env.json").read_text())
    assert env["command"] == ["transfer", "run", "data=usps"]
    assert env["versions"]["torch"] == __import__("importlib.metadata").metadata.version("torch")
    assert results["versions"] == env["versions"]


def test_the_end_is_recorded(runs: Path) -> None:
    run = start(runs)
    run.update({"headline": {"name": "test/accuracy", "value": 0.5}})
    run.close("failed", 7)
    results = json.loads((run.path / "results.json").read_text())
    assert (results["status"], results["code"], results["headline"]["value"]) == ("failed", 7, 0.5)
    assert results["ended"] >= results["started"]


def test_numbers_that_are_none_are_refused(runs: Path) -> None:
    run = start(runs)
    before = (run.path / "results.json").read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.update({"metrics": {"final": {"test/accuracy": float("nan")}}})
    assert (run.path / "results.json").read_bytes() == before


# the same command again
def test_the_same_command_continues_what_is_unfinished(runs: Path) -> None:
    first = start(runs)
    started = first.data["started"]
    first.close("interrupted", 130)
    again = start(runs)
    assert (again.path, again.continued, again.data["status"]) == (first.path, True, "running")
    assert again.data["started"] == started
    again.close("done", 0)
    third = start(runs)
    assert (third.path != first.path, third.continued) == (True, False)


def test_a_killed_run_is_died_and_continued(runs: Path) -> None:
    def work() -> None:
        start(runs)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(work)[0] == -signal.SIGKILL
    (died,) = listing(runs)
    assert died["status"] == "died"
    run = start(runs)
    assert str(run.path) == died["path"]
    assert listing(runs)[0]["status"] == "running"


def test_a_run_at_work_is_not_taken_over(runs: Path) -> None:
    ready, go = os.pipe()

    def work() -> None:
        start(runs)
        os.write(go, b"x")
        signal.pause()

    other = Child(work)
    os.read(ready, 1)
    mine = start(runs)
    assert not mine.continued
    assert [run["status"] for run in listing(runs)] == ["running", "running"]
    other.kill()
    other.join()
    assert sorted(run["status"] for run in listing(runs)) == ["died", "running"]


def test_another_configuration_makes_another_run(runs: Path) -> None:
    first = start(runs, digest="d1")
    first.close("interrupted", 143)
    assert start(runs, digest="d2").path != first.path


def test_a_run_killed_between_any_two_writes_is_found_or_made_anew(runs: Path) -> None:
    for point in range(1, 60):
        here = runs / str(point)
        code, _ = in_child(lambda here=here: start(here).close("done", 0), TRANSFER_TEST_CRASH_AT=point)
        assert code in (0, -signal.SIGKILL)
        if code == 0:
            break
        statuses = [run["status"] for run in listing(here)]
        assert statuses in ([], ["died"], ["done"])
        finished(here)
        assert "done" in [run["status"] for run in listing(here)]
    assert 20 < point < 59


# clocks and names
@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    now = [datetime(2026, 11, 22, 10, 15, 2, tzinfo=UTC)]
    monkeypatch.setattr(rundir, "utc_now", lambda: now[0])
    return now


def test_the_order_of_runs_is_not_the_clocks(runs: Path, clock: list[datetime]) -> None:
    first = finished(runs)
    clock[0] -= timedelta(hours=1)
    second = finished(runs)
    clock[0] = datetime(1970, 1, 1, tzinfo=UTC)
    third = finished(runs)
    for run, age in ((first, 1), (second, 2), (third, 3)):
        os.utime(run.path, (age, age))
    assert [run["id"] for run in listing(runs)] == [third.id, second.id, first.id]
    assert find(runs, "last") == [third.path]
    assert find(runs, "last:2") == [second.path, third.path]
    (runs / ".order").unlink()
    assert find(runs, "last") == [first.path]  # then the names must do


def test_the_same_second_and_id_do_not_share_a_directory(
    runs: Path, clock: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = iter(["k7q2md", "k7q2md", "k7q2md", "p3xv9c"])
    monkeypatch.setattr(rundir, "new_id", lambda first: next(ids))
    first, second = start(runs), start(runs)
    assert (first.id, second.id) == ("k7q2md", "p3xv9c")
    monkeypatch.setattr(rundir, "new_id", lambda first: "k7q2md")
    with pytest.raises(StoreError, match="16 new names were all taken"):
        start(runs)


def test_ids_are_no_numbers_and_no_keys() -> None:
    ids = [new_id() for _ in range(2000)]
    assert all(re.fullmatch(r"[abcdefghjkmnpqrtvwxyz][0-9abcdefghjkmnpqrstvwxyz]{5}", name) for name in ids)
    assert len(set(ids)) > 1990
    assert new_id("s")[0] == "s"


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 65])
def test_a_run_name_stays_in_its_folder(runs: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="not a name"):
        RunDir.open(runs, name, "d", words=[], config={}, config_text="", choices={})


# writing
def test_rows_links_and_log(runs: Path) -> None:
    run = start(runs)
    target = runs / ".store" / ("0" * 32) / "model-final.safetensors"
    target.parent.mkdir(parents=True)
    target.write_bytes(b"weights")
    run.append({"step": 1, "loss": 2.5})
    run.append({"step": 2, "loss": 2.25})
    link = run.link("align-final.safetensors", target)
    run.link("align-final.safetensors", target)
    run.log("two\nlines \x1b[31m of https://me:CANARY@host/")
    assert [json.loads(line)["loss"] for line in (run.path / "rows.jsonl").read_text().splitlines()] == [2.5, 2.25]
    assert re.fullmatch(
        r"\d\d:\d\d:\d\dZ two\n\S+Z lines \\x1b\[31m of https://host/\n", (run.path / "log.txt").read_text()
    )
    moved = runs.rename(runs.with_name("moved"))
    assert (moved / link.relative_to(runs)).read_bytes() == b"weights"
    assert [path.name for path in (moved / link.relative_to(runs)).parent.iterdir()] == ["align-final.safetensors"]


def test_a_half_line_of_a_killed_run_is_cut_off(runs: Path) -> None:
    run = start(runs)
    run.append({"step": 1})
    run.release()
    with (run.path / "rows.jsonl").open("ab") as file:
        file.write(b'{"step": 2, "lo')
    start(runs).append({"step": 2})
    assert (run.path / "rows.jsonl").read_text() == '{"step": 1}\n{"step": 2}\n'


def test_a_full_disk_leaves_the_last_results(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start(runs)
    monkeypatch.setenv("TRANSFER_TEST_FAIL", "write@results*:ENOSPC")
    with pytest.raises(ResourceError, match=r"^no space: need "):
        run.update({"notes": ["more"]})
    assert json.loads((run.path / "results.json").read_text())["notes"] == []
    assert not [path for path in run.path.iterdir() if ".tmp." in path.name]


def test_no_secret_and_no_home_in_the_directory(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = runs.parent / "home" / "ann"
    monkeypatch.setenv("HOME", str(home))
    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "TRANSFER_API_KEY"):
        monkeypatch.setenv(name, "CANARY")
    weights = "https://me:CANARY@host/x.pt"
    run = start(
        runs,
        words=[f"weights={weights}", f"data={home}/pictures"],
        config={"weights": weights, "data": {"path": f"{home}/pictures"}},
        config_text=f"weights: {weights}\npath: {home}/pictures\n",
        argv=["transfer", f"weights={weights}", "--token", "CANARY", "data.password=CANARY"],
    )
    try:
        raise RuntimeError(f"cannot open {weights}") from OSError(str(home / "x"))
    except RuntimeError as error:
        run.log_error(error)
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert {"config.yaml", "overrides.txt", "env.json", "results.json", "log.txt"} <= {path.name for path in files}
    for path in files:
        assert "CANARY" not in path.read_text(), path
        assert str(home) not in path.read_text(), path
    assert "RuntimeError: cannot open https://host/x.pt" in (run.path / "log.txt").read_text()


# finding
@pytest.fixture
def four(runs: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    ids = iter(["k7q2md", "k7qz00", "p3xv9c", "h5zq7c"])
    monkeypatch.setattr(rundir, "new_id", lambda first: next(ids))
    names = ["dann-usps", "dann-mnist", "mcd-usps", "lora-pictures"]
    made = [finished(runs, name) for name in names]
    return {run.id: run.path for run in made}


@pytest.mark.parametrize(
    ("ref", "ids"),
    [
        ("last", ["h5zq7c"]),
        ("last:3", ["k7qz00", "p3xv9c", "h5zq7c"]),
        ("last:99", ["k7q2md", "k7qz00", "p3xv9c", "h5zq7c"]),
        ("p3x", ["p3xv9c"]),
        ("k7q2md", ["k7q2md"]),
        ("dann-*", ["k7q2md", "k7qz00"]),
        ("*-usps/*", ["k7q2md", "p3xv9c"]),
        ("???-usps", ["p3xv9c"]),
    ],
)
def test_references(runs: Path, four: dict[str, Path], ref: str, ids: list[str]) -> None:
    assert find(runs, ref) == [four[name] for name in ids]


def test_a_path_is_a_reference(runs: Path, four: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = four["p3xv9c"]
    assert find(runs, str(path)) == [path]
    assert find(runs, str(path.relative_to(runs))) == [path]
    monkeypatch.chdir(path.parent)
    assert find(runs, path.name) == [Path(path.name)]


@pytest.mark.parametrize(
    ("ref", "text"),
    [
        ("k8q", "run k8q: none begins so; nearest: k7q2md (dann usps, 1 min ago)"),
        ("k7q", "run k7q: 2 begin so: k7q2md, k7qz00"),
        ("k7", "run k7: too short"),
        ("zzz", "run zzz: none begins so"),
        ("dann-mnits*", "run dann-mnits*: no run name fits; nearest: dann-mnist"),
        ("no/such/run", "run no/such/run: no run directory there"),
        ("../../etc", "run ../../etc: no run directory there"),
        ("\x1b[31m", r"run \x1b[31m: no run name fits"),
    ],
)
def test_references_that_find_nothing(runs: Path, four: dict[str, Path], ref: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find(runs, ref)
    assert caught.value.faults[0].line() == text
    assert caught.value.code == 2


def test_last_without_runs(runs: Path) -> None:
    with pytest.raises(ConfigError, match=r"^run last: no runs in .*runs yet$"):
        find(runs, "last")
    assert listing(runs) == []


def test_age_in_words() -> None:
    now = datetime.now(UTC)
    ages = {timedelta(minutes=12): "12 min ago", timedelta(hours=3): "3 h ago", timedelta(days=2): "2 days ago"}
    assert [ago((now - age).isoformat()) for age in ages] == list(ages.values())
    assert ago("2020-01-02T00:00:00Z") == "2020-01-02"
    assert ago("what") == "some time ago"


def test_a_thousand_runs_are_listed_at_once(runs: Path) -> None:
    run = finished(runs, config={f"group{n}": {"key": n, "words": "x" * 20} for n in range(60)})
    text = (run.path / "results.json").read_text()
    for number in range(999):
        folder = runs / f"dann-d{number % 20}" / f"20261122T101502Z-k{number:05d}"
        folder.mkdir(parents=True)
        (folder / "results.json").write_text(text)
    times = []
    for _ in range(5):
        start_s = time.process_time()  # of this process alone, however busy the machine
        assert len(listing(runs)) == 1000
        times.append(time.process_time() - start_s)
    assert min(times) < 0.3
    assert len(listing(runs, limit=20)) == 20


def test_garbage_among_the_runs_does_not_hide_them(runs: Path) -> None:
    run = finished(runs)
    (runs / "dann-usps" / "20261122T101502Z-kaaaaa").mkdir()
    (runs / "dann-usps" / "20261122T101502Z-kbbbbb").mkdir()
    (runs / "dann-usps" / "20261122T101502Z-kbbbbb" / "results.json").write_text("{torn")
    (runs / "README.md").write_text("x")
    (runs / "dann-usps" / "notes").mkdir()
    (runs / ".order").open("ab").write(b"\xff\n\nhalf")
    found = {entry["id"]: entry["status"] for entry in listing(runs)}
    assert found == {run.id: "done", "kaaaaa": "died", "kbbbbb": "unreadable"}


# sweeps
def test_a_sweep_from_start_to_end(runs: Path) -> None:
    sweep = SweepDir.open(
        runs, "s1", words=["strategy=dann,mcd"], rows=[{"words": ["strategy=dann"]}, {"words": ["strategy=mcd"]}]
    )
    assert sweep.path.parent == runs / "sweeps"
    assert sweep.id.startswith("s")
    assert [row["state"] for row in sweep.data["runs"]] == ["to do", "to do"]
    made = []
    for number, name in enumerate(["dann-usps", "mcd-usps"]):
        run = start(runs, name, f"d{number}", sweep=sweep.id)
        sweep.start(number, run.path)
        run.close("done", 0)
        sweep.set(number, {"state": "done", "code": 0})
        made.append(run.path)
    stored = json.loads((sweep.path / "sweep.json").read_text())
    assert stored["schema"] == "sweep/1"
    assert [(row["words"], row["state"]) for row in stored["runs"]] == [
        (["strategy=dann"], "done"),
        (["strategy=mcd"], "done"),
    ]
    assert sorted(link.resolve() for link in (sweep.path / "runs").iterdir()) == sorted(path.resolve() for path in made)
    sweep.close("done", 0)
    assert find(runs, sweep.id) == find(runs, "last") == find(runs, str(sweep.path)) == made
    assert [entry["id"] for entry in listing(runs, sweeps=True)] == [sweep.id]
    assert len(listing(runs)) == 2
    alone = finished(runs, "lora-usps")
    assert find(runs, "last") == [alone.path]
    assert find(runs, "last:2") == [*made, alone.path]


def test_the_same_sweep_goes_on(runs: Path) -> None:
    rows = [{"words": ["seed=0"]}, {"words": ["seed=1"]}]
    first = SweepDir.open(runs, "s1", words=["seed=0,1"], rows=rows)
    first.set(0, {"state": "done", "code": 0})
    first.release()
    again = SweepDir.open(runs, "s1", words=["seed=0,1"], rows=rows)
    assert (again.path, again.continued) == (first.path, True)
    assert [row["state"] for row in again.data["runs"]] == ["done", "to do"]
    again.close("done", 0)
    assert SweepDir.open(runs, "s1", words=["seed=0,1"], rows=rows).path != first.path


def test_a_sweep_file_cannot_lead_out_of_the_runs(runs: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "results.json").write_text("{}")
    sweep = SweepDir.open(
        runs, "s1", words=[], rows=[{"path": path, "words": []} for path in ("../outside", str(outside))]
    )
    with pytest.raises(ConfigError, match="this sweep has no runs yet"):
        find(runs, sweep.id)


def test_terminals_share_a_sweep_row_by_row(runs: Path) -> None:
    rows = [{"words": [f"seed={seed}"]} for seed in range(3)]
    first = SweepDir.open(runs, "s1", words=["seed=0..2"], rows=rows)
    second = SweepDir.open(runs, "s1", words=["seed=0..2"], rows=rows)
    assert (second.path, first.keeps, second.keeps, second.continued) == (first.path, True, False, True)
    assert first.take(0)
    assert (second.is_taken(0), second.take(0), second.take(1)) == (True, False, True)
    first.set(0, {"state": "failed", "code": 7})
    second.set(1, {"state": "done", "code": 0})  # neither change is lost
    first.give(0)
    assert not second.take(0)  # it failed a moment ago: not tried again by those who are at it
    second.refresh()
    assert [row["state"] for row in second.rows] == ["failed", "done", "to do"]
    second.close("interrupted", 130)  # who does not keep it says nothing
    assert json.loads((first.path / "sweep.json").read_text())["status"] == "running"
    third = SweepDir.open(runs, "s1", words=["seed=0..2"], rows=rows)
    first.close("interrupted", 130)
    third.keep()
    assert (third.keeps, third.data["status"], third.data["code"]) == (True, "running", None)
    with third.changing() as now:
        now.append({"path": None, "state": "to do", "code": None, "words": ["seed=3"]})
    third.close("failed", 3)
    again = SweepDir.open(runs, "s1", words=["seed=0..2"], rows=rows)  # nobody is at it: what failed is to do
    assert [row["state"] for row in again.rows] == ["to do", "done", "to do", "to do"]
    again.close("done", 0)


def test_a_run_whose_process_outlives_its_terminal_is_taken(runs: Path) -> None:
    sweep = SweepDir.open(runs, "s1", words=[], rows=[{"words": ["seed=0"]}])
    run = start(runs, "dann-usps", "d0", sweep=sweep.id)
    sweep.start(0, run.path)
    assert sweep.is_open(0)
    assert (sweep.is_taken(0), sweep.take(0)) == (True, False)
    run.release()
    assert sweep.take(0)


def test_a_run_of_a_sweep_is_continued_by_that_sweep_alone(runs: Path) -> None:
    run = start(runs, "dann-usps", "d0", sweep="s00000")
    run.release()
    assert start(runs, "dann-usps", "d0").path != run.path
    assert start(runs, "dann-usps", "d0", sweep="s11111").path != run.path
    assert start(runs, "dann-usps", "d0", sweep="s00000").path == run.path


def test_terminals_see_each_other_and_only_what_is_written(runs: Path) -> None:
    rows = [{"words": [f"seed={n}"]} for n in range(3)]
    first = SweepDir.open(runs, "s1", words=["seed=0..2"], rows=rows)
    second = SweepDir.open(runs, "s1", words=["seed=0..2"], rows=rows)
    for number, terminal in enumerate((first, second, first)):
        terminal.set(number, {"state": "done", "code": 0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        second.set(0, {"headline": float("nan")})
    for terminal in (first, second):
        terminal.refresh()
        assert terminal.rows == json.loads((first.path / "sweep.json").read_text())["runs"]
        assert [row["state"] for row in terminal.rows] == ["done"] * 3
