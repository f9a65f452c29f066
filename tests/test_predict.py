"""Commands on a finished run: predict, show, resume, clean."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import cut_short, write_pictures

Transfer = Callable[..., Any]
MLP = ("model=mlp", "trainer=tiny")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """pics/train and pics/test, two classes that brightness tells apart."""
    write_pictures(tmp_path / "pics" / "train")
    return write_pictures(tmp_path / "pics" / "test", count=5)


def run(transfer: Transfer, *words: str) -> Path:
    told = transfer("run", "-q", "data=./pics", *MLP, *words)
    assert told.code == 0, told.err
    return Path(told.out.strip())


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def chances(rows: list[dict[str, str]]) -> np.ndarray:
    return np.array([[float(row["p_cat"]), float(row["p_dog"])] for row in rows])


def stored_chances(folder: Path) -> np.ndarray:
    """Softmax of the scores that the evaluation kept, in the order of its rows."""
    from safetensors.numpy import load_file

    results = json.loads((folder / "results.json").read_text())
    stage = folder.parents[1] / ".store" / results["stages"][-1]["key"]
    own = stage / f"scores-{results['headline']['rule']}.safetensors"
    (file,) = [own] if own.exists() else stage.glob("scores-*")  # rules that kept the same weights share one file
    scores = load_file(file)
    shares = np.exp(scores["scores"] - scores["scores"].max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


# predict
@pytest.mark.parametrize(
    "words",
    [
        ["strategy=scratch"],
        ["strategy=scratch", "model.input={channels: 3, size: 14, crop: 12, mean: [0, 0, 0], std: [1, 1, 1]}"],
        ["strategy=linear_probe", "source=digits"],
        ["strategy=lora", "source=digits"],
        ["strategy=adapter", "source=digits"],
        ["strategy=bitfit", "source=digits"],
        ["strategy=knn", "source=digits"],
        ["strategy=knn", "predictor=ridge", "source=digits"],
    ],
    ids=["head", "head_rgb", "probe", "lora", "adapter", "bitfit", "knn", "ridge"],
)
def test_predictions_are_the_evaluations(words: list[str], transfer: Transfer, pictures: Path) -> None:
    expected = stored_chances(run(transfer, *words))
    told = transfer("predict", "last", "./pics/test")
    rows = table(told.out)
    assert told.code == 0, told.err
    assert [row["path"] for row in rows] == [f"pics/test/{c}/{i:02}.png" for c in ("cat", "dog") for i in range(5)]
    np.testing.assert_allclose(chances(rows), expected, atol=1e-5)
    assert [row["class"] for row in rows] == [("cat", "dog")[i] for i in expected.argmax(1)]
    assert told.err.splitlines()[-1] == "10 files: 10 predicted, 0 unreadable"


def test_a_run_of_episodes_predicts_from_all_labels(transfer: Transfer, pictures: Path) -> None:
    words = ["strategy=few_shot", "source=digits", "evaluate={way: 2, shots: 3, queries: 2, draws: 5}"]
    run(transfer, *words)
    rows = table(transfer("predict", "last", "./pics/test").out)
    assert [row["class"] for row in rows] == ["cat"] * 5 + ["dog"] * 5


def test_one_picture_a_folder_and_a_table(transfer: Transfer, pictures: Path, tmp_path: Path) -> None:
    name = run(transfer, "strategy=scratch").name[-6:]
    (one,) = table(transfer("predict", name, "pics/test/dog/03.png").out)
    assert list(one) == ["path", "class", "p_cat", "p_dog", "error"]
    assert float(one["p_cat"]) + float(one["p_dog"]) == pytest.approx(1)
    folder = {row["path"]: row for row in table(transfer("predict", "pics/test").out)}  # no RUN means last
    assert chances([folder["pics/test/dog/03.png"]]) == pytest.approx(chances([one]), abs=1e-6)
    (tmp_path / "pics" / "list.csv").write_text("path,note\ntest/dog/03.png,x\ntest/cat/00.png,y\n")
    told = transfer("predict", name, "pics/list.csv", "-o", "new.csv")
    assert (told.code, told.out) == (0, "")
    rows = table((tmp_path / "new.csv").read_text())
    assert [row["path"] for row in rows] == ["pics/test/dog/03.png", "pics/test/cat/00.png"]
    assert chances(rows[:1]) == pytest.approx(chances([one]), abs=1e-6)


def test_an_unreadable_file_keeps_its_row(transfer: Transfer, pictures: Path) -> None:
    run(transfer, "strategy=scratch")
    cut_short(pictures / "cat" / "01.png")
    told = transfer("predict", "last", "pics/test")
    assert told.code == 4
    rows = table(told.out)
    assert [bool(row["error"]) for row in rows] == [False, True] + [False] * 8
    assert (rows[1]["path"], rows[1]["class"], rows[1]["p_cat"]) == ("pics/test/cat/01.png", "", "")
    assert told.err.splitlines()[-2] == "10 files: 9 predicted, 1 unreadable"
    assert told.errors == [f"error: pics/test/cat/01.png: {rows[1]['error']}"]
    assert rows[1]["error"].startswith("PNG ends at byte 60 of ")


def test_people_and_programs_get_the_same_classes(transfer: Transfer, pictures: Path) -> None:
    run(transfer, "strategy=scratch")
    rows = json.loads(transfer("predict", "last", "pics/test", "--json").out)["rows"]
    shown = transfer("predict", "last", "pics/test", "--format", "table").out
    for row in rows:
        best = max(row["p_cat"], row["p_dog"])
        assert f"{row['class']} {100 * best:.0f} %" in shown


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        ("nope", ["error: nope: no such file or folder"]),
        ("empty", ["error: empty: no pictures there", "  do: pictures end in .png, .jpg, .jpeg, .bmp, .webp"]),
        ("rows.csv", ["error: rows.csv: has no rows with a column path"]),
    ],
)
def test_nothing_to_predict(path: str, lines: list[str], transfer: Transfer, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "rows.csv").write_text("file\npics/test/cat/00.png\n")
    run(transfer, "strategy=scratch")
    told = transfer("predict", "last", path)
    assert (told.code, told.out, told.err.splitlines()) == (4, "", lines)


def test_a_run_that_is_not_finished_predicts_nothing(transfer: Transfer, pictures: Path) -> None:
    path = run(transfer, "strategy=scratch") / "results.json"
    path.write_text(path.read_text().replace('"status": "done"', '"status": "interrupted"'))
    told = transfer("predict", "last", "pics/test")
    name = path.parent.name[-6:]
    assert told.code == 2
    assert told.errors == [f"error: run {name}: is not finished: interrupted", f"  do: transfer resume {name}"]
    assert transfer("predict").errors[0] == "error: predict: needs a picture, a folder, a CSV or texts"


# show
def test_show_says_what_is_to_do_and_what_is_there(transfer: Transfer, pictures: Path, tmp_path: Path) -> None:
    words = ["data=./pics", "source=digits", *MLP, "fine_tune.mixup=0.2"]
    told = transfer("show", *words)
    states = [line.split("\t")[2] for line in told.out.splitlines()[1:]]
    assert states == ["to do", "none", "to do", "to do"]
    assert "changed by you: " in told.err
    assert "fine_tune.mixup (0.0: 0.2)" in told.err
    assert not (tmp_path / "runs" / ".store").exists()
    run(transfer, "source=digits")
    assert [row.split("\t")[2] for row in transfer("show", *words).out.splitlines()[1:]] == [
        "cached", "none", "to do", "to do",
    ]  # fmt: skip
    assert transfer("run", "-n", *words).out == transfer("show", *words).out


def test_show_of_a_run_is_its_record(transfer: Transfer, pictures: Path) -> None:
    path = run(transfer, "strategy=scratch")
    told = transfer("show", "last", "--json")
    assert json.loads(told.out)["id"] == path.name[-6:]
    told = transfer("show", str(path), "--format", "table")
    assert "accuracy" in told.out
    assert transfer("show", "last:2").code == 0  # there is but one
    run(transfer, "strategy=scratch")
    told = transfer("show", "last:2")
    assert (told.code, "nothing differs" in told.err) == (0, True)
    run(transfer, "strategy=scratch")
    told = transfer("show", "last:3")
    assert told.code == 2
    assert told.errors[0].startswith("error: last:3: means 3 runs: ")


# resume and clean
def test_a_finished_run_has_nothing_to_resume(transfer: Transfer, pictures: Path) -> None:
    path = run(transfer, "strategy=scratch")
    told = transfer("resume", "last")
    assert (told.code, told.out, told.err) == (0, "", f"{path.name[-6:]} is finished: nothing to do\n")
    assert len(list(path.parent.iterdir())) == 1


def test_resume_goes_on_in_the_same_directory(transfer: Transfer, pictures: Path) -> None:
    path = run(transfer, "strategy=scratch")
    record = path / "results.json"
    record.write_text(record.read_text().replace('"status": "done"', '"status": "interrupted"'))
    assert transfer("resume", path.name[-6:], "-q").out.strip() == str(path)
    assert json.loads(record.read_text())["status"] == "done"


def test_resume_takes_a_query_that_means_one_run(transfer: Transfer, pictures: Path) -> None:
    first, second = (run(transfer, "strategy=scratch", f"seed={seed}") for seed in (0, 1))
    told = transfer("resume", "strategy=scratch")
    assert told.code == 2
    assert told.errors[0] == f"error: strategy=scratch: means 2: {first.name[-6:]}, {second.name[-6:]}"
    assert "finished: nothing to do" in transfer("resume", "seed=1").err
    record = second / "results.json"
    record.write_text(record.read_text().replace('"status": "done"', '"status": "interrupted"'))
    assert transfer("resume", "strategy=scratch", "-q").out.strip() == str(second)  # the one that is unfinished
    assert json.loads(record.read_text())["status"] == "done"


def test_clean_deletes_what_no_run_uses_and_only_when_told(transfer: Transfer, pictures: Path, tmp_path: Path) -> None:
    kept = run(transfer, "strategy=scratch")
    gone = run(transfer, "strategy=scratch", "seed=1")
    shutil.rmtree(gone)
    stages = tmp_path / "runs" / ".store"
    before = {path.name for path in stages.glob("?" * 32)}
    assert len(before) == 4
    told = transfer("clean", "--format", "table")
    assert told.code == 0
    assert told.out.startswith("2 stages no run uses, ")
    assert told.out.splitlines()[-1] == "next  transfer clean -y"
    assert {path.name for path in stages.glob("?" * 32)} == before
    assert transfer("clean", "-y").code == 0
    used = {stage["key"] for stage in json.loads((kept / "results.json").read_text())["stages"] if stage["key"]}
    assert {path.name for path in stages.glob("?" * 32)} == used
    assert transfer("clean", "--format", "table").out == "nothing to clean\n"
    assert transfer("predict", "last", "pics/test").code == 0


def test_a_predictor_whose_data_changed_predicts_nothing(transfer: Transfer, pictures: Path) -> None:
    """It would name classes by the old list and number them by the new one."""
    run(transfer, "strategy=knn", "source=digits")
    (pictures.parent / "train" / "cat" / "00.png").unlink()
    told = transfer("predict", "last", "./pics/test")
    assert told.code == 4
    assert told.err.startswith("error: pics: has changed since the run was evaluated")


def test_a_predictor_reads_the_shots_its_run_drew(transfer: Transfer, pictures: Path) -> None:
    folder = run(transfer, "strategy=knn", "source=digits", "data.shots=2", "seed=3")
    rows = table(transfer("predict", "last", "./pics/test").out)
    np.testing.assert_allclose(chances(rows), stored_chances(folder), atol=1e-5)
