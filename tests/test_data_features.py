"""Rows of numbers as data: formats, wrong files, whole runs, and the features of a run's net."""

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_data_torchvision import MARKER, Evil

from transfer_cli.data.open import describe
from transfer_cli.errors import ConfigError, DataError

Transfer = Callable[..., Any]
SMALL = ("trainer=tiny", "runtime=cpu")


def blobs(rows: int, seed: int, width: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Three clouds three standard deviations apart, and their numbers."""
    labels = np.arange(rows) % 3
    return np.random.default_rng(seed).normal(size=(rows, width)) + 3 * np.eye(3, width)[labels], labels


def arrays(width: int = 6) -> dict[str, np.ndarray]:
    made = {}
    for seed, (part, rows) in enumerate((("train", 60), ("val", 12), ("test", 30))):
        made[f"{part}_features"], made[f"{part}_labels"] = blobs(rows, seed, width)
    return made


def written(path: Path, **changed: Any) -> Path:
    np.savez(path, **{name: array for name, array in (arrays() | changed).items() if array is not None})
    return path


def opened(path: Path, **settings: Any) -> Any:
    return describe({"family": "features", "path": str(path), **settings}, cache=path.parent / "cache")


def table(path: Path, rows: list[list[Any]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


# formats
def test_arrays_of_parts(tmp_path: Path) -> None:
    data = opened(written(tmp_path / "a.npz"))
    assert data.sizes() == {"val": 12, "test": 30, "train": 60}
    assert data.classes == ("0", "1", "2")
    assert data.raw.kind == "vectors"
    values = data.raw.parts["val"].rows()
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, arrays()["val_features"].astype(np.float32))
    assert data.raw.parts["test"].labels.tolist() == arrays()["test_labels"].tolist()


def test_one_matrix_is_cut(tmp_path: Path) -> None:
    features, labels = blobs(90, 0)
    np.savez(tmp_path / "a.npz", fts=features, kinds=labels * 5 - 5)
    data = opened(tmp_path / "a.npz", features="fts", labels="kinds", test_fraction=0.2, val_fraction=0.1)
    assert data.sizes() == {"val": 9, "test": 18, "train": 63}
    assert data.classes == ("-5", "0", "5")


def test_a_mat_is_read_as_scipy_reads_it(tmp_path: Path) -> None:
    scipy = pytest.importorskip("scipy.io")
    features, labels = blobs(30, 0)
    scipy.savemat(tmp_path / "a.mat", {"fts": features, "labels": labels[:, None] + 1.0})
    data = opened(tmp_path / "a.mat", features="fts")
    assert data.classes == ("1", "2", "3")
    np.testing.assert_array_equal(data.raw.parts["train"].rows(), features.astype(np.float32))


def test_a_table_of_numbers(tmp_path: Path) -> None:
    """Words as labels, a column of parts between the numbers."""
    head = ["one", "part", "two", "label"]
    rows = [[i, ("train", "train", "test")[i % 3], -i / 4, "ab"[i % 2]] for i in range(24)]
    data = opened(table(tmp_path / "a.csv", [head, *rows]))
    assert data.classes == ("a", "b")
    assert data.sizes()["test"] == 8
    np.testing.assert_array_equal(data.raw.parts["test"].rows(), [[i, -i / 4] for i in range(24) if i % 3 == 2])


def test_numbers_as_labels_of_a_table_are_in_order(tmp_path: Path) -> None:
    rows = [[i, (2, 10, 1)[i % 3]] for i in range(30)]
    assert opened(table(tmp_path / "a.csv", [["x", "label"], *rows])).classes == ("1", "2", "10")


def test_names_of_classes_may_stand_beside(tmp_path: Path) -> None:
    data = opened(
        written(tmp_path / "a.npz", classes=np.array(["cat", "dog", "eel", "fox"]), about=np.array("of me\x1b"))
    )
    assert data.classes == ("cat", "dog", "eel", "fox")
    assert data.counts("train") == {"cat": 20, "dog": 20, "eel": 20, "fox": 0}
    assert data.note == "of me\\x1b"


# wrong files
def with_cell(value: float) -> np.ndarray:
    features = arrays()["test_features"].copy()
    features[4, 2] = value
    return features


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nan": (
        {"test_features": with_cell(np.nan)},
        r": test_features row 5, column 3: nan is no finite number of 32 bits",
    ),
    "too large": ({"test_features": with_cell(1e300)}, r"row 5, column 3: 1e\+300 is no finite number of 32 bits"),
    "another width": ({"test_features": np.zeros((30, 4))}, "columns: train 6, val 6, test 4"),
    "one axis": ({"train_features": np.zeros(60)}, r"train_features is float64 \[60\], want numbers \[rows, columns\]"),
    "no rows": ({"val_features": np.zeros((0, 6))}, r"val_features is float64 \[0, 6\], want numbers"),
    "words": ({"train_features": np.full((60, 6), "x")}, r"train_features is <U1 \[60, 6\], want numbers"),
    "objects": (
        {"train_features": np.array([[Evil()]], object)},
        "array train_features holds Python objects, which are",
    ),
    "no labels": ({"test_labels": None}, r"no array test_labels; arrays: .*; nearest: "),
    "too few labels": ({"val_labels": np.zeros(5)}, r"val_labels is float64 \[5\], want a label for each of 12 rows"),
    "halves": ({"val_labels": np.full(12, 0.5)}, r"val row 1: label 0\.5 is no whole number"),
    "nan label": ({"val_labels": np.full(12, np.nan)}, "val row 1: label nan is no whole number"),
    "unseen": ({"test_labels": np.full(30, 9)}, "test row 1: label 9 is not in train"),
    "no train": ({"train_features": None}, "no train part; parts: val 6, test 6"),
    "few names": ({"classes": np.array(["a", "b"])}, "train_labels: want whole numbers 0 to 1, as there are classes"),
    "other names": (dict.fromkeys(arrays()) | {"x": np.zeros(3)}, "no array train_features or features; arrays: x"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arrays(tmp_path: Path, case: str) -> None:
    changed, text = WRONG[case]
    with pytest.raises(DataError, match=text) as error:
        opened(written(tmp_path / "a.npz", **changed))
    assert error.value.code == 4
    assert len(error.value.faults) == 1
    assert not MARKER


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([["a", "b"], [1, 2]], r"a\.csv: no column label"),
        ([["a", "label"], [1, "x"], ["y", "x"]], r"a\.csv row 3: column a: y is no number"),
        ([["a", "label"], [1, "x"], ["inf", "x"]], "table row 2, column 1: inf is no finite number"),
        ([["a", "label"], [1, "x"], [2]], r"a\.csv row 3: 1 cells, want 2 as the header has"),
        ([["a", "label", "part"], [1, "x", "trian"]], r"row 2: part trian; allowed train, val, test; nearest: train"),
        ([["a", "label", "part"], [1, "x", "test"]], "0 rows in its train part; parts: test"),
        ([["a", "label"], [1, "x"], [], ["y", "x"]], r"a\.csv row 4: column a: y is no number"),
        ([["a", "label"]], r"a\.csv: 0 rows"),
        ([["label"], ["x"]], r"want numbers \[rows, columns\]"),
    ],
)
def test_wrong_tables(tmp_path: Path, rows: list[list[Any]], text: str) -> None:
    with pytest.raises(DataError, match=text):
        opened(table(tmp_path / "a.csv", rows))


def test_what_is_no_file_of_numbers(tmp_path: Path, monkeypatch: Any) -> None:
    with pytest.raises(DataError, match="no such file"):
        opened(tmp_path / "nope.npz")
    (tmp_path / "a.bin").write_bytes(b"x")
    with pytest.raises(DataError, match=r"a\.bin: wants a \.npz, \.mat or \.csv"):
        opened(tmp_path / "a.bin")
    (tmp_path / "a.mat").write_bytes(b"x" * 200)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ConfigError, match=r"a\.mat: needs an extra: pip install 'transfer-cli\[scipy\]'") as error:
        opened(tmp_path / "a.mat")
    assert error.value.code == 2


# runs
def results(folder: Path) -> dict[str, Any]:
    found = max((folder / "runs").glob("[!.]*-*/*/results.json"), key=lambda path: path.stat().st_mtime_ns)
    return dict(json.loads(found.read_text()))


@pytest.mark.parametrize(
    "words",
    [
        ("strategy=scratch",),
        ("strategy=fine_tune", "source=b.npz"),
        ("strategy=linear_probe", "source=b.npz"),
        ("strategy=coral", "source=b.npz"),
        ("strategy=knn", "pretrain=none", "model=identity"),
        ("strategy=linear_probe", "pretrain=none", "model=identity"),
    ],
    ids=["mlp", "fine_tune", "probe", "coral", "knn", "plain probe"],
)
def test_methods_for_pictures_run_on_numbers(transfer: Transfer, tmp_path: Path, words: tuple[str, ...]) -> None:
    written(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", features=blobs(60, 8)[0], labels=blobs(60, 8)[1])
    told = transfer("run", "data=a.npz", *words, *SMALL)
    assert told.code == 0, told.err
    found = results(tmp_path)
    assert found["headline"]["name"] == "test/accuracy"
    assert found["headline"]["over"] == "test rows"
    if "model=identity" in words:  # clouds three standard deviations apart: about 2 % of the rows are nearer another
        assert found["headline"]["value"] > 0.85


def test_a_linear_probe_of_numbers_is_logistic_regression(transfer: Transfer, tmp_path: Path) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    made = arrays()
    written(tmp_path / "a.npz", val_features=None, val_labels=None)
    words = ("data=a.npz", "strategy=linear_probe", "pretrain=none", "model=identity", "fine_tune.l2=0.01")
    told = transfer("run", *words, "data.val_fraction=0", *SMALL)
    assert told.code == 0, told.err
    x, mean, scale = made["train_features"], made["train_features"].mean(0), made["train_features"].std(0)
    # l2 / 2 |w|^2 + mean loss here, |w|^2 / 2 + C sum of losses there
    want = linear.LogisticRegression(C=1 / (0.01 * len(x)), tol=1e-8, max_iter=1000)
    want.fit((x - mean) / scale, made["train_labels"])
    accuracy = want.score((made["test_features"] - mean) / scale, made["test_labels"])
    assert results(tmp_path)["headline"]["value"] == pytest.approx(accuracy)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("model=mlp",), 2, "model=mlp: reads pictures, and a.npz are vectors   do: model=mlp_vectors"),
        (("model.input.width=5",), 4, "data=a.npz: has 6 numbers per row, the model reads 5"),
        (("source=c.npz",), 4, "source=c.npz: has 4 numbers per row, the model reads 6"),
        (("data=digits", "source=none", "model=identity"), 2, "model=identity: reads vectors, and digits are pictures"),
    ],
)
def test_numbers_that_do_not_fit(transfer: Transfer, tmp_path: Path, words: Any, code: int, text: str) -> None:
    written(tmp_path / "a.npz")
    np.savez(tmp_path / "c.npz", **arrays(width=4))
    data = () if any(word.startswith("data=") for word in words) else ("data=a.npz",)
    strategy = "fine_tune" if "source=c.npz" in words else "scratch"
    told = transfer("run", f"strategy={strategy}", *data, *words, *SMALL)
    assert told.code == code, told.err
    assert text in " ".join(told.errors)


@pytest.mark.parametrize(
    ("name", "family"),
    [("a.npz", "features"), ("m.npz", "medmnist"), ("a.csv", "features"), ("p.csv", "csv"), ("t.csv", "text_table")],
)
def test_a_path_says_what_it_is(transfer: Transfer, tmp_path: Path, name: str, family: str) -> None:
    written(tmp_path / "a.npz")
    np.savez(tmp_path / "m.npz", train_images=np.zeros(1))
    for file, text in (("a", "x,label\n1.5,y"), ("p", "file,label\na.png,y"), ("t", "text,label\n1.5,y")):
        (tmp_path / f"{file}.csv").write_text(text)
    told = transfer("run", "--cfg", "strategy=scratch", f"data={name}", "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out)["runs"][0]["data"]["family"] == family


# features of a run
def test_features_of_a_run_are_data_of_the_next(transfer: Transfer, tmp_path: Path) -> None:
    """A probe on exported features equals the probe on the net itself; parts, labels and names are exported too."""
    words = ("data=digits", "data.classes=[3, 5, 8]", "source=none", "pretrain=none", "model=mlp", "seed=1")
    told = transfer("run", "strategy=linear_probe", *words, *SMALL, "fine_tune.l2=0.1")
    assert told.code == 0, told.err
    first = results(tmp_path)
    told = transfer("predict", "last", "--features", "-o", "f.npz")
    assert (told.code, told.out) == (0, ""), told.err
    with np.load(tmp_path / "f.npz") as made:
        shapes = {name: made[name].shape for name in made.files}
        assert made["classes"].tolist() == ["3", "5", "8"]
    target = describe({"family": "digits", "val_fraction": 0.2, "classes": [3, 5, 8]}, cache=tmp_path / "cache")
    assert target is not None
    for part in ("train", "val", "test"):
        rows = len(target.rows(part).index)
        assert (shapes[f"{part}_features"], shapes[f"{part}_labels"]) == ((rows, 128), (rows,))
    probe = ("strategy=linear_probe", "pretrain=none", "model=identity", "fine_tune.l2=0.1")
    told = transfer("run", "data=f.npz", *probe, *SMALL)
    assert told.code == 0, told.err
    second = results(tmp_path)
    assert second["headline"]["value"] == first["headline"]["value"]
    assert f"features of run {first['id']}, mlp, of digits" in told.out + told.err + json.dumps(second)
    before = (tmp_path / "f.npz").read_bytes()
    transfer("predict", first["id"], "--features", "-o", "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == before  # the same content, so the same stage


def test_features_of_other_data_and_predictions_for_numbers(transfer: Transfer, tmp_path: Path) -> None:
    written(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", features=blobs(9, 5)[0], labels=blobs(9, 5)[1])
    np.savez(tmp_path / "c.npz", features=np.zeros((4, 5)), labels=np.arange(4) % 2)
    told = transfer("run", "data=a.npz", "strategy=linear_probe", "pretrain=none", "model=identity", *SMALL)
    assert told.code == 0, told.err
    told = transfer("predict", "last", "data=b.npz", "--features", "-o", "f.npz")
    assert told.code == 0, told.err
    with np.load(tmp_path / "f.npz") as made:
        parts = [made[f"{part}_features"] for part in ("train", "val", "test")]
        expected = blobs(9, 5)[0].astype(np.float32)
        assert sorted(map(tuple, np.concatenate(parts))) == sorted(map(tuple, expected))
    table(tmp_path / "b.csv", [[*"uvwxyz", "part"], *([*row, "test"] for row in blobs(9, 5)[0])])
    numbers = transfer("predict", "last", "b.csv").out.replace("b.csv", "b.npz")
    told = transfer("predict", "last", "b.npz")
    assert told.out == numbers
    rows = list(csv.DictReader(told.out.splitlines()))
    assert [row["path"] for row in rows] == [f"b.npz row {i}" for i in range(1, 10)]
    assert sum(row["class"] == str(i % 3) for i, row in enumerate(rows)) >= 8
    for argv, code, line in (
        (["last", "c.npz"], 4, "error: c.npz row 1: has 5 numbers, the net of the run reads 6"),
        (["last", "nope.npz"], 4, "error: nope.npz: no such file"),
        (["last", "--features"], 2, "error: --features: needs -o FILE.npz"),
        (["last", "--features", "-o", "f.csv"], 2, "error: --features=f.csv: needs -o FILE.npz"),
        (
            ["last", "--features", "-o", "g.npz", "data=c.npz"],
            4,
            "error: data=c.npz: has 5 numbers per row, the model reads 6",
        ),
        (["last", "--features", "-o", "g.npz", "data=digits"], 2, "error: data: the net reads vectors, and digits are"),
        (["last", "--features", "-o", "g.npz", "seed=1"], 2, "error: seed=1: predict --features takes data=..."),
    ):
        told = transfer("predict", *argv)
        assert told.code == code, told.err
        assert told.errors[0].startswith(line)
    assert not (tmp_path / "g.npz").exists()
