"""Marks: snapshots of one training handed on at evenly spaced steps, each scored, equal to the byte after any kill."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from pair import run_pair
from victims import KILL, Place, manifests, run

from transfer_cli.engine.marks import mark_steps
from transfer_cli.models.tensors import unpack
from transfer_cli.store.store import NEEDS

COMMON = ("data=digits", "trainer=tiny", "trainer.steps=7", "runtime=cpu", "runtime.save_every=0", "runtime.threads=1")
MARKS = "fine_tune.marks=3"  # of 7 steps: after 2, 5 and 7
STRATEGIES = {
    "scratch": ("strategy=scratch", "model=conv4", "model.filters=8"),
    "unfreeze": (
        "strategy=fine_tune",
        "fine_tune.unfreeze=true",
        "model=mlp",
    ),  # at_1 rests on the start, final does not
}


def words(runs: Path, strategy: str, *more: str, marks: bool = True) -> list[str]:
    marked = [MARKS] if marks else []
    return ["run", *STRATEGIES[strategy], *COMMON, *marked, *more, "--runs", str(runs)]


def trained(runs: Path) -> Path:
    """The folder of the fine-tuning."""
    specs = {path.parent: json.loads(path.read_text())["spec"] for path in runs.glob(".store/*/stage.json")}
    (found,) = (folder for folder, spec in specs.items() if spec.get("role") == "fine_tune")
    return found


def tensors(path: Path) -> dict[str, Any]:
    return unpack(path.read_bytes())[0]


@pytest.fixture(scope="module", params=STRATEGIES)
def whole(request: pytest.FixtureRequest, shelf: Path) -> tuple[str, Path]:
    """A strategy, and its run that nobody disturbed."""
    folder = shelf / request.param
    folder.mkdir()
    code, text = run(words(folder / "runs", request.param), folder / "out")
    assert code == 0, text
    return request.param, folder / "runs"


@pytest.mark.parametrize(
    ("marks", "steps", "at"), [(3, 10, [3, 7, 10]), (1, 10, [10]), (4, 4, [1, 2, 3, 4]), (5, 2, [1, 1, 1, 2, 2])]
)
def test_marks_are_evenly_spaced_and_the_last_is_the_end(marks: int, steps: int, at: list[int]) -> None:
    assert mark_steps(marks, steps) == {f"at_{i + 1}": step for i, step in enumerate(at)}


def test_marks_are_files_and_the_last_is_the_final_net(whole: tuple[str, Path]) -> None:
    folder = trained(whole[1])
    assert [path.name for path in sorted(folder.glob("model-at*"))] == [f"model-at_{k}.safetensors" for k in (1, 2, 3)]
    assert (folder / "model-at_3.safetensors").read_bytes() == (folder / "model-final.safetensors").read_bytes()
    assert (folder / "model-at_1.safetensors").read_bytes() != (folder / "model-at_2.safetensors").read_bytes()
    rules = json.loads((folder / "results.json").read_text())["rules"]
    assert {name: fact["step"] for name, fact in rules.items() if name.startswith("at_")} == mark_steps(3, 7)


def test_marks_change_no_step_of_the_training(whole: tuple[str, Path], here: Path) -> None:
    strategy, runs = whole
    code, text = run(words(here / "runs", strategy, marks=False), here / "out")
    assert code == 0, text
    for name in ("model-final.safetensors", "rows.jsonl"):
        assert (trained(here / "runs") / name).read_bytes() == (trained(runs) / name).read_bytes()


def test_a_mark_is_what_a_training_of_so_many_steps_holds(here: Path) -> None:
    """A constant learning rate, so that the number of steps changes nothing else."""
    constant = ("trainer.schedule=constant", "trainer.warmup=0.0")
    code, text = run(words(here / "marked", "scratch", *constant), here / "out")
    assert code == 0, text
    short_words = [
        word.replace("steps=7", "steps=5") for word in words(here / "short", "scratch", *constant, marks=False)
    ]
    code, text = run(short_words, here / "out")
    assert code == 0, text
    short = trained(here / "short") / "model-final.safetensors"
    assert short.read_bytes() == (trained(here / "marked") / "model-at_2.safetensors").read_bytes()


def test_each_mark_is_scored(whole: tuple[str, Path]) -> None:
    (folder,) = {path.parent for path in whole[1].glob(".store/*/scores-final.safetensors")}
    rules = json.loads((folder / "results.json").read_text())["rules"]
    assert rules.keys() >= {"final", "at_1", "at_2", "at_3"}
    assert rules["at_3"] == rules["final"]
    assert rules["at_1"]["metrics"]["test/nll"] != rules["at_2"]["metrics"]["test/nll"]


PLACES: list[Place] = [
    ("fine_tune", 1),
    ("fine_tune", 2),
    ("fine_tune", 3),
    ("fine_tune", "rename model-at_2.safetensors"),
    ("fine_tune", 6),
    ("fine_tune", "rename model-final.safetensors"),
    ("evaluate", 0),
]


@pytest.mark.parametrize("together", [False, True])
def test_killed_between_marks_the_files_and_bytes_are_equal(
    together: bool, whole: tuple[str, Path], here: Path
) -> None:
    """One kill a run, or all of them one after the other in one run."""
    strategy, runs = whole
    for i, place in enumerate(PLACES):
        place_runs = here / ("all" if together else str(i)) / "runs"
        place_runs.parent.mkdir(exist_ok=True)
        code, text = run(words(place_runs, strategy), here / "out", at=place)
        assert code == -signal.SIGKILL, text
        if not together or place == PLACES[-1]:
            code, text = run(words(place_runs, strategy), here / "out")
            assert code == 0, text
            assert manifests(place_runs) == manifests(runs)
    assert (trained(runs) / NEEDS).exists() == (strategy == "unfreeze")


def test_a_mark_damaged_before_the_resume_is_made_again(here: Path, whole: tuple[str, Path]) -> None:
    strategy, runs = whole
    assert run(words(here / "runs", strategy), here / "out", at=("fine_tune", 3))[0] == -signal.SIGKILL
    mark = trained(here / "runs") / "model-at_1.safetensors"
    mark.write_bytes(mark.read_bytes()[:-1] + b"?")
    code, text = run(words(here / "runs", strategy), here / "out")
    assert code == 0, text
    assert "resume file for step 3 is damaged" in text
    assert manifests(here / "runs") == manifests(runs)


def test_two_processes_write_the_marks_of_one(here: Path, whole: tuple[str, Path]) -> None:
    strategy, runs = whole
    if strategy == "scratch":
        pytest.skip("conv4 has BatchNorm, whose statistics are those of a share of the batch")
    argv = [word for word in words(here / "runs", strategy) if word != "runtime=cpu"]
    argv += ["runtime=ddp", "runtime.device=cpu"]
    ended = run_pair(argv, here, {"at": ("fine_tune", 3), "act": KILL}, {})
    assert ended[0][0] == -signal.SIGKILL, ended
    ended = run_pair(argv, here)
    assert [code for code, _ in ended] == [0, 0], ended
    for name in ("at_1", "at_2", "at_3", "final"):
        one, two = (tensors(trained(folder) / f"model-{name}.safetensors") for folder in (runs, here / "runs"))
        assert one.keys() == two.keys()
        assert all(abs(one[key] - two[key]).max() < 1e-4 for key in one)
