"""The house is open: one new thing of every sort is a matter of new files. The toy of `open_house/` brings sounds,
from a package of its own and from inside a copy of this repository, and no file that is there is edited."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from transfer_cli.config.signatures import FOLDERS

ROOT = Path(__file__).parents[1]
TOY = Path(__file__).parent / "open_house"
NAME = TOY.name
# what the toy adds: each word is the folder of one Python file
ADDED = {
    "method": "shrink", "data": "tones", "model": "ears", "predictor": "nearest", "task": "pitch", "scoring": "pitch",
    "head": "curve", "kind": "sound", "sampler": "spread",
}  # fmt: skip
SAMPLER = "fine_tune.feeds.target.sampler=spread"
RUN = ("data=tones", "strategy=small_head", "source=none", SAMPLER, "trainer=tiny", "runtime.device=cpu")


class Answer(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Place(NamedTuple):
    """Where the toy lives: `call` runs a command there, `words` name the package, if it is one."""

    call: Callable[..., Answer]
    words: tuple[str, ...]
    folder: Path


def toy_files() -> list[Path]:
    return sorted(path.relative_to(TOY) for path in TOY.rglob("*") if path.suffix in (".py", ".yaml"))


def write_toy(code: Path, conf: Path, package: str) -> None:
    """The files of the toy, under a package of the given name."""
    for name in toy_files():
        place = conf / name.relative_to("conf") if name.parts[0] == "conf" else code / name
        assert not place.exists(), f"{name} is there already"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(re.sub(rf"\b{NAME}\b", package, (TOY / name).read_text()))


def hashes(*folders: Path) -> dict[Path, str]:
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".py", ".yaml")]
    return {path: sha256(path.read_bytes()).hexdigest() for path in files}


# commands arrive as JSON, a line each: torch is loaded once
LOOP = """
import contextlib, io, json, sys
from transfer_cli.cli.main import main
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(json.loads(line))
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""


@contextmanager
def commands(folder: Path, path: str) -> Iterator[Callable[..., Answer]]:
    """`call(*argv)` runs a command in `folder`, in one process that imports from `path`."""
    environment = os.environ | {"PYTHONPATH": path, "TRANSFER_RUNS": str(folder / "runs"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", LOOP],
        cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None

    def call(*argv: str) -> Answer:
        process.stdin.write(json.dumps(argv) + "\n")
        process.stdin.flush()
        return Answer(*json.loads(process.stdout.readline()))

    with process:
        yield call
        process.stdin.close()


@pytest.fixture(scope="module", params=["a plugin package", "the repository"])
def place(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The toy in one of two places. When all tests are done, every file that was there before is as it was."""
    folder = tmp_path_factory.mktemp("open")
    site = folder / "site"
    if request.param == "the repository":
        shutil.copytree(ROOT / "transfer_cli", site / "transfer_cli", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "conf", site / "conf")
        before = hashes(site)
        write_toy(site / "transfer_cli", site / "conf", "transfer_cli")
        with commands(folder, str(site)) as call:
            yield Place(call, (), folder)
        after = hashes(site)
        assert before.items() <= after.items(), "a file of the repository was edited"
        assert len(after) - len(before) == len(toy_files())
        return
    before = hashes(ROOT / "transfer_cli", ROOT / "conf")
    write_toy(site / NAME, site / NAME / "conf", NAME)
    with commands(folder, f"{site}{os.pathsep}{ROOT}") as call:
        yield Place(call, (f"plugins={NAME}",), folder)
    assert hashes(ROOT / "transfer_cli", ROOT / "conf") == before


def results(answer: Answer) -> dict[str, Any]:
    assert answer.code == 0, answer.err
    return dict(json.loads((Path(answer.out.strip()) / "results.json").read_text()))


@pytest.fixture(scope="module")
def run(place: Place) -> dict[str, Any]:
    """Method, strategy, data set, model, kind, task, scoring, head, sampler and metric, all in one run."""
    return results(place.call("run", "-q", *place.words, *RUN))


def tone(path: Path, hertz: float, rate: int = 2000) -> Path:
    values = 2**14 * np.sin(2 * np.pi * hertz * np.arange(rate // 5) / rate)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(values.astype("<i2").tobytes())
    return path


def test_the_toy_brings_one_thing_of_every_sort() -> None:
    """A new sort of thing (a folder of FOLDERS) must get a toy, too; a metric and a strategy have no class."""
    files = set(map(str, toy_files()))
    assert ADDED.keys() == FOLDERS.keys()
    assert files >= {f"{FOLDERS[group]}/{name}.py" for group, name in ADDED.items()}
    assert files >= {"metrics/cents.py", "conf/strategy/small_head.yaml"}
    settings = {name for name in files if name.endswith(".yaml")}
    assert {name.split("/")[1] for name in settings} == {"method", "data", "model", "predictor", "task", "strategy"}


def test_all_of_it_is_used_in_one_run(run: dict[str, Any]) -> None:
    assert run["choices"].items() >= {"strategy": "small_head", "data": "tones", "model": "ears"}.items()
    assert run["choices"]["fine_tune"] == "shrink"
    assert run["config"]["fine_tune"]["feeds"]["target"].items() >= {"sampler": "spread", "most": 64}.items()
    assert run["config"]["model"]["input"] == {"rate": 2000, "samples": 200}
    assert (run["headline"]["name"], run["headline"]["n"]) == ("test/cents_off", 20)
    assert run["headline"]["value"] > 0


def test_the_sampler_decides_the_batches(place: Place, run: dict[str, Any]) -> None:
    """The control: without it the same words train another net."""
    other = results(place.call("run", "-q", *place.words, *(word for word in RUN if word != SAMPLER)))
    assert other["headline"]["value"] != run["headline"]["value"]


def test_a_setting_of_the_task_and_its_head(place: Place, run: dict[str, Any]) -> None:
    answer = place.call("run", "-q", *place.words, *RUN, "task=pitch", "task.top=5")
    assert results(answer)["headline"]["value"] != run["headline"]["value"]
    answer = place.call("run", "-q", *place.words, *RUN, "task=pitch", "task.top=0")
    assert (answer.code, answer.err.splitlines()[0]) == (2, "error: task.top=0: whole number >= 1, now 3")


def test_a_wrong_input_is_named(place: Place) -> None:
    answer = place.call("run", "-q", *place.words, *RUN, "model.input.samples=none")
    assert answer.code == 2
    assert answer.err.startswith("error: model.input.samples=none")


def test_the_metric_is_shown_and_compared_in_its_own_unit(place: Place, run: dict[str, Any]) -> None:
    shown = place.call("show", run["id"], "--format", "table")
    assert shown.code == 0, shown.err
    assert "off pitch" in shown.out
    assert "within a semitone" in shown.out
    compared = place.call("compare", run["id"], "--format", "table")
    assert compared.code == 0, compared.err
    assert "off pitch cents" in compared.out
    assert f"{run['headline']['value']:.0f}" in compared.out


def test_a_sound_is_answered(place: Place, run: dict[str, Any]) -> None:
    tone(place.folder / "a.wav", 200)
    answer = place.call("predict", run["id"], "a.wav", *place.words)
    assert answer.code == 0, answer.err
    (row,) = csv.DictReader(io.StringIO(answer.out))
    assert (list(row), row["path"], row["error"]) == (["path", "hertz", "error"], "a.wav", "")
    assert 100 < float(row["hertz"]) < 800
    assert "1 sound: 1 predicted" in answer.err


def test_a_sound_that_does_not_fit_is_named(place: Place, run: dict[str, Any]) -> None:
    folder = place.folder / "new"
    folder.mkdir()
    tone(folder / "good.wav", 200)
    tone(folder / "fast.wav", 200, rate=8000)
    (folder / "none.wav").write_text("no sound")
    answer = place.call("predict", run["id"], "new", *place.words)
    assert answer.code == 4
    errors = {row["path"]: row["error"] for row in csv.DictReader(io.StringIO(answer.out))}
    assert errors["good.wav"] == ""
    assert errors["fast.wav"] == "has 8,000 values a second of 16 bits, the net reads 2,000 of 16"
    assert errors["none.wav"].startswith("cannot be read: ")


@pytest.mark.parametrize(("verb", "argv"), [("explain", ["a.wav"]), ("export", ["--to", "safetensors"]), ("serve", [])])
def test_what_the_task_cannot_do_is_refused_by_name(
    verb: str, argv: list[str], place: Place, run: dict[str, Any]
) -> None:
    answer = place.call(verb, run["id"], *argv, *place.words)
    text = f"error: run {run['id']}: its net learned the task pitch, which has no {verb}; it can predict"
    assert (answer.code, answer.err.splitlines()[0]) == (2, text)


def test_a_task_that_does_not_read_the_rows_is_refused_by_name(place: Place) -> None:
    answer = place.call("run", "-q", *place.words, "data=digits", "strategy=scratch", "source=none", "task=pitch")
    assert answer.code == 2
    assert "pitch" in answer.err.splitlines()[0]


def test_data_and_model_of_two_kinds_are_refused_by_name(place: Place) -> None:
    answer = place.call("run", "-q", *place.words, *RUN, "model=mlp")
    assert answer.code == 2
    assert answer.err.splitlines()[:2] == [
        "error: model=mlp: reads pictures, and tones are sound",
        "  do: model=ears",
    ]


def test_a_sound_is_checked_and_cannot_be_shifted(place: Place) -> None:
    answer = place.call("data", "check", "tones", *place.words)
    assert answer.code == 0, answer.err
    assert "octaves" in answer.out
    answer = place.call("run", "-q", *place.words, *RUN, "data.shift=rotated")
    assert (answer.code, answer.err.splitlines()[0]) == (
        4,
        "error: data.shift=rotated: makes pictures of pictures, and tones are sound",
    )


def test_a_page_of_it_can_be_written(place: Place, run: dict[str, Any]) -> None:
    answer = place.call("report", run["id"], *place.words, "-o", "page.html")
    assert answer.code == 0, answer.err
    assert "off pitch" in (place.folder / "page.html").read_text()


def test_the_predictor_answers_on_ordinary_data(place: Place) -> None:
    found = results(
        place.call("run", "-q", *place.words, "strategy=knn", "predictor=nearest", "data=digits", "trainer=tiny")
    )
    assert found["config"]["evaluate"]["predictor"] == {"predictor": "nearest", "power": 2}
    assert found["headline"]["value"] > 0.5
