"""Whole runs killed, interrupted, robbed of their data: after each the same words end with the same bytes."""

import json
import os
import signal
from pathlib import Path

import pytest
from PIL import Image
from victims import Place, Victim, manifests, run, traced

from transfer_cli.cli.main import main
from transfer_cli.rundir import record

COMMON = ("data=digits", "trainer=tiny", "runtime=cpu", "runtime.save_every=0", "runtime.threads=1")
STRATEGIES = {
    "adabn": ("strategy=fine_tune", "align=adabn", "model=conv4"),
    "coral": ("strategy=coral", "source=digits", "model=mlp"),
    "linear_probe": ("strategy=linear_probe", "model=mlp", "fine_tune.l2=1.0"),
    "lora": ("strategy=lora", "model=mlp"),
}
STEPS: dict[str, list[Place]] = {
    "adabn": [("pretrain", 0), ("pretrain", 2), ("align", 0), ("fine_tune", 1), ("fine_tune", 2), ("evaluate", 0)],
    "coral": [("pretrain", 1), ("align", 1), ("align", 2), ("evaluate", 0)],
    "linear_probe": [("pretrain", 2), ("fine_tune", 0), ("evaluate", 0)],
    "lora": [("fine_tune", 1), ("fine_tune", 2), ("evaluate", 0)],
}
SAMPLED = 5  # I/O points a strategy in the fast test


def words(strategy: str, runs: Path, *more: str) -> list[str]:
    return ["run", *STRATEGIES[strategy], *COMMON, *more, "--runs", str(runs)]


class Whole:
    """Runs that nobody disturbed, made when asked for: their manifests and the I/O points they passed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, strategy: str) -> dict[str, bytes]:
        runs = self.folder / strategy / "runs"
        if not runs.exists():
            runs.parent.mkdir()
            code, text = run(words(strategy, runs), self.folder / "out", TRACE=self.folder / f"{strategy}.trace")
            assert code == 0, text
        return manifests(runs)

    def points(self, strategy: str) -> list[tuple[str, str]]:
        self(strategy)
        return traced(self.folder / f"{strategy}.trace")


@pytest.fixture(scope="module")
def whole(shelf: Path) -> Whole:
    (shelf / "whole").mkdir()
    return Whole(shelf / "whole")


def ended(runs: Path) -> list[tuple[str, int | None]]:
    found = [json.loads(path.read_text()) for path in sorted(runs.glob("*-*/*/results.json"))]
    return [(results["status"], results["code"]) for results in found]


def killed_one_after_the_other(strategy: str, here: Path, places: list[Place], expected: dict[str, bytes]) -> int:
    """The same words again and again, killed at each place in turn, until done; a place that a continued run does not
    pass any more is tried in a fresh folder. Returns the kills."""
    kills, number = 0, 0
    todo = list(places)
    while todo:
        runs, number, began = here / str(number) / "runs", number + 1, len(todo)  # the name is one of the places
        runs.parent.mkdir()
        while todo and (code := run(words(strategy, runs), here / "out", at=todo[0])[0]) == -signal.SIGKILL:
            kills += 1
            del todo[0]
        if todo:
            assert code == 0, (here / "out").read_text()
            assert len(todo) < began, todo[0]
        else:
            code, text = run(words(strategy, runs), here / "out")
            assert code == 0, text
        assert manifests(runs) == expected
        assert [path for path in runs.glob(".store/*/*") if ".tmp." in path.name or "resume-" in path.name] == []
        assert ("done", 0) in ended(runs)
    return kills


# R1, R2
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_killed_in_each_stage_and_run_again_the_bytes_are_equal(strategy: str, here: Path, whole: Whole) -> None:
    expected = whole(strategy)
    assert len(expected) == {"adabn": 4, "coral": 3, "linear_probe": 3, "lora": 3}[strategy]
    assert killed_one_after_the_other(strategy, here, STEPS[strategy], expected) == len(STEPS[strategy])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_killed_at_some_io_points_the_bytes_are_equal(strategy: str, here: Path, whole: Whole) -> None:
    points = [place for place in whole.points(strategy) if place[0]]
    assert {"rename MANIFEST.json", "rename DONE", "fsync rows.jsonl"} <= {place for _, place in points}
    sample: list[Place] = list(points[list(STRATEGIES).index(strategy) :: len(points) // SAMPLED])
    assert killed_one_after_the_other(strategy, here, sample, whole(strategy)) == len(sample) >= SAMPLED


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_killed_at_every_io_point_the_bytes_are_equal(strategy: str, here: Path, whole: Whole) -> None:
    points: list[Place] = list(whole.points(strategy))
    assert killed_one_after_the_other(strategy, here, points, whole(strategy)) == len(points) > 100


@pytest.mark.slow
def test_killed_at_numbered_points_of_fresh_runs(here: Path, whole: Whole) -> None:
    expected = whole("linear_probe")
    for point in range(1, 240, 3):
        runs = here / str(point)
        assert run(words("linear_probe", runs), here / "out", TRANSFER_TEST_CRASH_AT=point)[0] == -signal.SIGKILL
        code, text = run(words("linear_probe", runs), here / "out")
        assert code == 0, text
        assert manifests(runs) == expected


def test_a_resume_that_forgets_the_optimiser_is_noticed(here: Path, whole: Whole) -> None:
    """The negative control of all above."""
    assert run(words("adabn", here / "runs"), here / "out", at=("pretrain", 2))[0] == -signal.SIGKILL
    assert run(words("adabn", here / "runs"), here / "out", FORGET=1)[0] == 0
    found, expected = manifests(here / "runs"), whole("adabn")
    assert found.keys() == expected.keys()
    assert found != expected


# R4
@pytest.mark.parametrize(
    ("numbers", "code", "line"),
    [
        ([signal.SIGINT], 130, "interrupted: pretrain 2 of 3, saved\n  do: the same command goes on from here"),
        ([signal.SIGTERM], 143, "stopped by SIGTERM: pretrain 2 of 3, saved\n  do: the same command goes on"),
    ],
)
def test_a_signal_saves_and_the_same_words_go_on(
    numbers: list[int], code: int, line: str, here: Path, whole: Whole
) -> None:
    argv = [word for word in words("adabn", here / "runs") if "save_every" not in word]
    found, text = run(argv, here / "out", at=("pretrain", 1), act=("signals", numbers))
    assert (found, ended(here / "runs")) == (code, [("interrupted", code)]), text
    assert line in text
    assert "finishing this step, saving; again to leave at once" in text
    assert "Traceback" not in text
    found, text = run(argv, here / "out")
    assert found == 0, text
    assert "goes on in " in text
    assert "pretrain goes on at step 2 of 3" in text
    assert ended(here / "runs") == [("done", 0)]
    assert manifests(here / "runs") == whole("adabn")


def test_a_second_signal_leaves_at_once(here: Path, whole: Whole) -> None:
    twice = ("signals", [signal.SIGINT, signal.SIGINT])
    code, text = run(words("coral", here / "runs"), here / "out", at=("align", 2), act=twice)
    assert code == 130
    assert text.endswith("interrupted again, leaving now\n")
    assert ended(here / "runs") == [("running", None)]  # no time for farewells: reads as died
    assert run(words("coral", here / "runs"), here / "out")[0] == 0
    assert ended(here / "runs") == [("done", 0)]
    assert manifests(here / "runs") == whole("coral")


# R16
def test_who_waits_goes_on_where_a_killed_owner_was(here: Path, whole: Whole) -> None:
    for name in ("owner", "waiter"):
        os.mkfifo(here / name)
    owner = Victim(words("coral", here / "runs"), here / "a", at=("align", 2), act=("pause", str(here / "owner")))
    assert (here / "owner").read_text() == "here"
    waiter = Victim(words("coral", here / "runs"), here / "b", at="waiting", act=("tell", str(here / "waiter")))
    assert (here / "waiter").read_text() == "here"
    owner.kill()
    code, text = waiter.join()
    assert owner.join()[0] == -signal.SIGKILL
    assert code == 0, text
    assert f"pid {owner.process.pid}, " in text
    assert "is gone, continuing at step 2" in text
    assert "pretrain cached" in text
    assert manifests(here / "runs") == whole("coral")


# R25
def test_a_divergence_is_kept_and_told_again_without_training(
    here: Path, whole: Whole, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = words("linear_probe", here / "runs")
    code, text = run(argv, here / "out", TRANSFER_TEST_NAN_AT=1)
    line = text[text.index("error: ") :]
    assert code == 7
    assert line.startswith("error: pretrain: non-finite loss at step 1 (last finite ")
    assert line.endswith(" at 0); not retried, use --retry-failed\n")
    (failed,) = here.glob("runs/.store/*/FAILED.json")
    assert not (failed.parent / "DONE").exists()
    assert [path.name[:15] for path in failed.parent.glob("resume-*")] == ["resume-00000001"]  # none of that step
    before = {path: path.read_bytes() for path in failed.parent.iterdir()}
    assert main([*argv, "-q"]) == 7
    assert capsys.readouterr().err == line
    assert {path: path.read_bytes() for path in failed.parent.iterdir()} == before
    assert ended(here / "runs") == [("failed", 7)]
    code, text = run([*argv, "--retry-failed"], here / "out")
    assert code == 0, text
    assert manifests(here / "runs") == whole("linear_probe")


# R28
METHOD = """
from typing import ClassVar
from transfer_cli.contracts import MethodInputs, Loss, Method, Stream
from {package}.parts.scale import SCALE

class Mine(Method):
    streams: ClassVar[dict[str, Stream]] = {{"target": Stream()}}

    def __init__(self, given: MethodInputs) -> None:
        super().__init__()
        self.net, self.task = given.net, given.tasks["target"]

    def param_groups(self):
        return {{"net": [self.net]}}

    def step(self, batch, at):
        rows = batch["target"]
        yield Loss("net", SCALE * self.task.loss(self.net(rows.inputs), rows))
"""


@pytest.fixture
def plugin(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's package with one method and a part that it imports, importable also in children."""
    package = here / "lib" / "mine_of_a_user"
    for folder in (package, package / "methods", package / "parts"):
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
    (package / "methods" / "mine.py").write_text(METHOD.format(package=package.name))
    (package / "parts" / "scale.py").write_text("SCALE = 1.0\n")
    (package / "conf" / "method").mkdir(parents=True)
    (package / "conf" / "method" / "mine.yaml").write_text("# Mine.\nmethod: mine\n")
    monkeypatch.syspath_prepend(str(package.parent))
    return package


def mine(runs: Path, package: Path) -> list[str]:
    more = ("fine_tune=mine", f"plugins=[{package.name}]", "model=mlp", "strategy=fine_tune")
    return ["run", *more, *COMMON, "--runs", str(runs)]


def test_an_edited_method_is_not_served_its_old_result(here: Path, plugin: Path) -> None:
    def stages() -> list[str]:
        """How pretrain, fine_tune and evaluate ended."""
        code, text = run(mine(here / "runs", plugin), here / "out")
        assert code == 0, text
        said = {name: state for line in text.splitlines() if "Z " in line for name, state in [line.split()[1:3]]}
        return [said[name] for name in ("pretrain", "fine_tune", "evaluate")]

    assert stages() == ["done", "done", "done"]
    assert stages() == ["cached", "cached", "cached"]
    file = plugin / "methods" / "mine.py"
    file.write_text(file.read_text().replace("yield", "# only a remark\n        yield"))
    assert stages() == ["cached", "cached", "cached"]
    file.write_text(file.read_text().replace("SCALE * ", "SCALE * 0.25 * "))
    assert stages() == ["cached", "done", "done"]
    (plugin / "parts" / "scale.py").write_text("SCALE = 0.125\n")  # not the file itself: one that it imports
    assert stages() == ["cached", "done", "done"]
    assert len(set(manifests(here / "runs").values())) == 7  # one pretrain, three of each other


def test_code_edited_while_training_leaves_no_result(here: Path, plugin: Path) -> None:
    part = plugin / "parts" / "scale.py"
    argv = mine(here / "runs", plugin)
    code, text = run(argv, here / "out", at=("fine_tune", 2), act=("spoil", str(part)))
    assert code == 5, text
    assert "scale.py: code changed while training\n  do: run the same command again" in text
    assert len(manifests(here / "runs")) == 1  # pretrain
    assert list(here.glob("runs/.store/*/resume-*")) == []
    code, text = run(argv, here / "out")
    assert code == 0, text


@pytest.fixture
def pictures(here: Path) -> Path:
    """24 pictures of two classes, train and test."""
    for part, count in (("train", 8), ("test", 4)):
        for name, value in (("dark", 20), ("light", 200)):
            (here / "pictures" / part / name).mkdir(parents=True)
            for row in range(count):
                Image.new("L", (28, 28), value + row).save(here / "pictures" / part / name / f"{row}.png")
    return here / "pictures"


@pytest.mark.parametrize("step", [2, pytest.param(0, marks=pytest.mark.slow)])
def test_data_changed_while_training_leave_no_result(step: int, here: Path, pictures: Path) -> None:
    argv = ["run", f"data={pictures}", "strategy=scratch", "model=mlp", *COMMON[1:], "--runs"]
    assert run([*argv, str(here / "whole")], here / "out")[0] == 0
    victim = pictures / "train" / "dark" / "3.png"
    original, times = victim.read_bytes(), victim.stat()
    runs = here / "runs"
    code, text = run([*argv, str(runs)], here / "out", at=("fine_tune", step), act=("spoil", str(victim)))
    assert code == 4, text
    assert "3.png: data changed while training\n  do: run the same command again" in text
    assert manifests(runs) == {}
    assert list(runs.glob(".store/*/resume-*")) == []
    code, text = run([*argv, str(runs)], here / "out")  # other data, other keys
    assert code == 0, text
    changed = manifests(runs)
    victim.write_bytes(original)
    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
    code, text = run([*argv, str(runs)], here / "out")  # as it was: nothing of in between is served
    assert code == 0, text
    assert {k: v for k, v in manifests(runs).items() if k not in changed} == manifests(here / "whole")


# R32
def test_a_stage_of_other_threads_is_told_or_refused(here: Path, whole: Whole) -> None:
    argv = words("linear_probe", here / "runs")
    other = [*argv, "runtime.threads=2"]
    other.remove("runtime.threads=1")
    assert run(argv, here / "out", at=("pretrain", 2))[0] == -signal.SIGKILL
    code, text = run([*other, "--strict-identity"], here / "out")
    assert code == 5, text
    assert "error: pretrain: is of another identity class: threads 2 (was 1)\n  do: --no-cache computes it anew" in text
    code, text = run(other, here / "out")
    assert code == 0, text
    assert "warning: pretrain resumed under threads 2 (was 1): not bit-identical" in text
    identities = [json.loads(path.read_text())["identity"] for path in here.glob("runs/.store/*/stage.json")]
    assert sorted(str(found.get("mixed")) for found in identities) == ["None", "None", "threads 2 (was 1)"]
    code, text = run([*argv, "--strict-identity"], here / "out")  # now they are done, but of another class
    assert code == 5, text
    assert ": is of another identity class: " in text


def test_a_stage_of_another_version_is_told(
    here: Path, whole: Whole, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole("linear_probe")
    was = record.versions()["torch"].partition("+")[0]
    monkeypatch.setattr(record, "versions", lambda: {"torch": "99.1"})
    assert main(words("linear_probe", whole.folder / "linear_probe" / "runs")) == 0
    err = capsys.readouterr().err
    for stage in ("pretrain", "fine_tune", "evaluate"):
        assert f"warning: {stage} was computed under torch 99.1 (was {was}): not bit-identical" in err
