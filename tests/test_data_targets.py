"""Several labels or numbers per row: tables of pictures, texts and numbers, arrays, the built-in sets, and data
check."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transfer_cli.data.contracts import Raw, RawPart
from transfer_cli.data.fingerprints import fingerprint
from transfer_cli.data.open import describe, scan
from transfer_cli.data.quality.check import check
from transfer_cli.data.quality.cleanup_yaml import mended
from transfer_cli.errors import ConfigError, DataError
from transfer_cli.kinds._kind import kind_named

Transfer = Callable[..., Any]
FAMILIES = ("csv", "text_table", "features")


def table(path: Path, family: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    """A table of the family, whose rows have `header` beside what the family reads: picture, text or two numbers."""
    own = {"csv": ["path"], "text_table": ["text"], "features": ["x", "y"]}[family]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*own, *header])
        for number, row in enumerate(rows):
            picture = path.with_name(f"{number}.png")
            Image.new("L", (8, 8), number % 256).save(picture)
            cells = {"csv": [picture.name], "text_table": [f"text {number}"], "features": [number, -number]}[family]
            writer.writerow([*cells, *row])
    return path


def opened(family: str, path: Path, **settings: Any) -> Any:
    return describe({"family": family, "path": str(path), **settings}, cache=path.parent / "cache")


# labels in columns, in one cell, in lists
@pytest.mark.parametrize("family", FAMILIES)
def test_columns_of_0_and_1_are_labels(family: str, tmp_path: Path) -> None:
    rows = [[n % 2, str(n % 3 == 0), "train" if n < 20 else "test"] for n in range(30)]
    data = opened(family, table(tmp_path / "t.csv", family, ["a", "b", "part"], rows), labels=["b", "a"])
    assert (data.raw.task, data.names, data.raw.classes) == ("multilabel", ("b", "a"), ("row",))
    assert data.sizes() == {"train": 18, "val": 2, "test": 10}
    targets = data.raw.parts["train"].targets
    assert targets.dtype == bool
    assert targets.tolist() == [[n % 3 == 0, n % 2 == 1] for n in range(20)]
    assert data.rows("test").targets.tolist() == [[n % 3 == 0, n % 2 == 1] for n in range(20, 30)]
    if family == "features":
        assert data.raw.parts["train"].read().shape == (20, 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_cell_may_hold_several_labels(family: str, tmp_path: Path) -> None:
    cells = ["10|9", " 9 ", "", '["10", 2]'] * 5
    path = table(tmp_path / "t.csv", family, ["label"], [[cell] for cell in cells])
    data = opened(family, path, label_separator="|")
    assert (data.raw.task, data.names) == ("multilabel", ("2", "9", "10"))
    assert data.raw.parts["train"].targets[:4].tolist() == [
        [False, True, True],
        [False, True, False],
        [False, False, False],
        [True, False, True],
    ]
    assert data.note == "5 of 20 rows have none of the labels"


@pytest.mark.parametrize("family", FAMILIES)
def test_lists_of_labels_need_no_setting(family: str, tmp_path: Path) -> None:
    lists = [["a"], [], ["b", "a"], ["c"]] * 5
    path = table(tmp_path / "t.csv", family, ["label"], [[json.dumps(cell)] for cell in lists])
    data = opened(family, path)
    assert (data.raw.task, data.names) == ("multilabel", ("a", "b", "c"))
    assert data.raw.parts["train"].targets.sum() == 20


def test_lists_of_json_lines_are_labels(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("".join(json.dumps({"text": f"t {n}", "label": ["é", "b"][: n % 3]}) + "\n" for n in range(12)))
    data = opened("text_table", path)
    assert (data.raw.task, data.names) == ("multilabel", ("b", "é"))


def test_a_column_with_one_cell_that_is_not_a_list_contains_classes(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "text_table", ["label"], [["[a]"], ["b"]] * 10)
    assert opened("text_table", path).raw.task == "classify"


# numbers
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("numbers", ["crp", ["crp", "age"]])
def test_columns_of_numbers_are_targets(family: str, numbers: Any, tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", family, ["age", "crp"], [[n, f"{n / 4}e1"] for n in range(20)])
    settings = {"labels": "labels"} if family == "features" else {}
    extra = ["age"] if family == "features" and numbers == "crp" else []
    data = opened(family, path, numbers=numbers, **settings)
    names = ["crp"] if numbers == "crp" else numbers
    assert (data.raw.task, data.names) == ("regress", tuple(names))
    targets = data.raw.parts["train"].targets
    assert targets.dtype == np.float32
    assert targets.tolist() == [[n * 2.5, n][: len(names)] for n in range(20)]
    if family == "features":
        assert data.raw.parts["train"].read().shape == (20, 2 + len(extra))


BAD = [
    (["x"], "numbers", r"t\.csv row 3: column a: x is no number"),
    (["nan"], "numbers", r"row 3: column a: nan is no finite number of 32 bits"),
    (["1e39"], "numbers", r"row 3: column a: 1e39 is no finite number of 32 bits"),
    (["", " ", ""], "numbers", r"row 3: column a: empty; 2 more"),
    (["2"], "labels", r"row 3: column a: 2 is neither 0 nor 1"),
    ([""], "labels", r"row 3: column a: empty"),
]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("cells", "setting", "text"), BAD)
def test_a_bad_cell_is_named_by_row_and_column(
    family: str, cells: list[str], setting: str, text: str, tmp_path: Path
) -> None:
    rows = [["1"], *([cell] for cell in cells), *[["0"]] * 10]
    path = table(tmp_path / "t.csv", family, ["a"], rows)
    with pytest.raises(DataError, match=text):
        opened(family, path, **{setting: ["a"]})
    raw = scan({"family": family, "path": str(path), setting: ["a"]}, tmp_path / "cache")
    assert len(raw.faults) == len(cells)
    assert len(raw.parts["train"].labels) == 11 == len(np.asarray(raw.parts["train"].targets))


@pytest.mark.parametrize("family", FAMILIES)
def test_invalid_settings(family: str, tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", family, ["age", "label"], [[1, "a"], [2, "b"]] * 5)
    with pytest.raises(ConfigError, match=r"data\.numbers=\['age'\]: not together with labels"):
        opened(family, path, labels=["age"], numbers=["age"])
    with pytest.raises(ConfigError, match=r"data\.label_separator=;: not together with labels"):
        opened(family, path, labels=["age"], label_separator=";")
    with pytest.raises(ConfigError, match=r"data\.numbers: is empty; null leaves it out"):
        opened(family, path, numbers=[])
    with pytest.raises(ConfigError, match=r"data\.numbers: names a column twice: age"):
        opened(family, path, numbers=["age", "age"])
    with pytest.raises(DataError, match=r"no column agee; columns: .*age, label; nearest: age"):
        opened(family, path, numbers=["agee"])
    with pytest.raises(DataError, match=r"no column True; columns"):
        opened(family, path, numbers=True)


def test_a_missing_picture_is_reported_before_its_labels(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "csv", ["a"], [["1"], ["x"], ["0"], ["1"]])
    (tmp_path / "1.png").unlink()
    raw = scan({"family": "csv", "path": str(path), "labels": ["a"]}, tmp_path / "cache")
    assert [fault.kind for fault in raw.faults] == ["missing"]


def test_a_table_without_a_header_names_positions(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("".join(f"text {n}\t{n}\t{-n}\n" for n in range(20)))
    data = opened("text_table", path, header=False, text="0", numbers=["2"])
    assert data.raw.parts["train"].targets[3].tolist() == [-3]


def test_domains_with_different_labels_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, labels in (("a", "x|y"), ("b", "y|x"), ("c", "x|z")):
        (tmp_path / f"{name}.tsv").write_text("text\tlabel\n" + "".join(f"{name} {n}\t{labels}\n" for n in range(20)))
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path))
    node = {"family": "text_table", "name": "mine", "train": "{domain}.tsv", "label_separator": "|"}
    data = describe({**node, "domain": ["a", "b"]}, cache=tmp_path / "cache")
    assert data is not None
    assert np.shape(data.raw.parts["train"].targets) == (40, 2)
    with pytest.raises(DataError, match="a and c have different targets: only one of them has y"):
        describe({**node, "domain": ["a", "c"]}, cache=tmp_path / "cache")


@pytest.mark.parametrize("family", FAMILIES)
def test_skipped_rows_lose_their_targets_too(family: str, tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", family, ["age"], [[n] for n in range(20)])
    names = opened(family, path, numbers="age").raw.parts["train"].names
    data = opened(family, path, numbers="age", skip=[names(3), names(0)])
    assert np.asarray(data.raw.parts["train"].targets)[:3, 0].tolist() == [1, 2, 4]


def test_names_of_classes_do_not_fit_several_labels(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "text_table", ["a"], [[0], [1]])
    with pytest.raises(ConfigError, match=r"data\.names=.*names classes, and data\.labels leaves none"):
        opened("text_table", path, labels=["a"], names=["no", "yes"])


# arrays
def saved(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_a_matrix_of_0_and_1_is_several_labels(tmp_path: Path) -> None:
    flags = np.arange(40).reshape(20, 2) % 3 == 0
    path = saved(tmp_path / "a.npz", features=np.eye(20), labels=flags.astype(np.int64), classes=np.array(["u", "v"]))
    data = opened("features", path)
    assert (data.raw.task, data.names) == ("multilabel", ("u", "v"))
    np.testing.assert_array_equal(data.raw.parts["train"].targets, flags)
    with pytest.raises(DataError, match="classes has 3 names for 2 labels"):
        opened("features", saved(tmp_path / "b.npz", features=np.eye(20), labels=flags, classes=np.array(["u"] * 3)))
    one = {"train_features": np.eye(20), "test_features": np.eye(20), "train_labels": flags, "test_labels": np.ones(20)}
    with pytest.raises(DataError, match="test rows have one label, others several"):
        opened("features", saved(tmp_path / "c.npz", **one))
    with pytest.raises(DataError, match=r"labels is int64 \[20, 2\], want a label for each of 20 rows"):
        opened("features", saved(tmp_path / "d.npz", features=np.eye(20), labels=flags + 1))


@pytest.mark.parametrize(("shape", "names"), [((20,), ("y",)), ((20, 1), ("y",)), ((20, 2), ("y 0", "y 1"))])
def test_an_array_of_numbers_is_what_to_predict(shape: Any, names: tuple[str, ...], tmp_path: Path) -> None:
    numbers = np.arange(np.prod(shape)).reshape(shape) / 7
    data = opened("features", saved(tmp_path / "a.npz", features=np.eye(20), y=numbers), numbers="y")
    assert (data.raw.task, data.names) == ("regress", names)
    np.testing.assert_array_equal(data.raw.parts["train"].targets, numbers.reshape(20, -1).astype(np.float32))


def test_a_missing_array_is_said_beside_all_that_are_there(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", features=np.zeros((9, 2)), age=np.arange(9.0))
    with pytest.raises(DataError, match=r"no array agee; arrays: features, age; nearest: age"):
        opened("features", path, numbers="agee")


def test_arrays_of_numbers_that_do_not_fit(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npz", features=np.eye(20), y=np.ones(3), z=np.full(20, np.inf))
    with pytest.raises(DataError, match=r"y is float64 \[3, 1\], want numbers for each of 20 rows"):
        opened("features", path, numbers="y")
    with pytest.raises(DataError, match=r"z row 1, column 1: inf is no finite number of 32 bits; 19 more"):
        opened("features", path, numbers="z")
    with pytest.raises(DataError, match=r"no array w"):
        opened("features", path, numbers="w")
    with pytest.raises(ConfigError, match=r"data\.numbers: of arrays it names one: y, z|data\.numbers=y, z: of arrays"):
        opened("features", path, numbers=["y", "z"])
    with pytest.raises(ConfigError, match=r"data\.label_separator=a\.npz: is for a \.csv"):
        opened("features", path, label_separator="|")


# the built-in sets
def test_diabetes_is_scikit_learns(tmp_path: Path) -> None:
    from sklearn.datasets import load_diabetes

    features, target = load_diabetes(return_X_y=True)
    data = describe({"family": "diabetes", "val_fraction": 0.2}, cache=tmp_path)
    assert data is not None
    rows = data.raw.parts["train"]
    np.testing.assert_allclose(rows.read(), features * len(features) ** 0.5, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(rows.targets)[:, 0], target.astype(np.float32))
    assert data.sizes() == {"train": 266, "val": 88, "test": 88}
    assert data.names == ("progression",)


def films(folder: Path) -> Path:
    """Ten films, one without a year, one without genres, two of one title."""
    (folder / "movielens_small").mkdir()
    import gzip

    titles = ["Heat (1995)", "Show (2006–2007)", '"Hat, The (Le chapeau) (1927) "', "HEAT (1932)", "Babylon 5"]
    lines = ["movieId,title,genres", *(f"{n},{title},Drama|War" for n, title in enumerate(titles))]
    lines += [f"{n},Film {n} (200{n}),{'(no genres listed)' if n == 9 else 'Comedy'}" for n in range(5, 10)]
    (folder / "movielens_small" / "movies.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder


@pytest.mark.parametrize("learn", ["year", "genres"])
def test_films(learn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFER_DATA", str(films(tmp_path)))
    data = describe({"family": "films", "learn": learn}, cache=tmp_path / "cache")
    assert data is not None
    texts, targets = data.raw.parts["train"].read(), np.asarray(data.raw.parts["train"].targets)
    assert texts[:4] == ["Heat", "Show", "Hat, The (Le chapeau)", "HEAT"]
    assert data.note == f"1 of 10 films have no {learn} and are left out"
    if learn == "year":
        assert targets[:4, 0].tolist() == [1995, 2006, 1927, 1932]
        assert "Babylon 5" not in texts
    else:
        assert data.names == ("Comedy", "Drama", "War")
        assert targets[:5].tolist() == [[False, True, True]] * 5
        assert "Babylon 5" in texts
    parts = {part: {texts[row].lower() for row in index} for part, (_, index) in data.parts.items()}
    assert sum("heat" in words for words in parts.values()) == 1


@pytest.mark.parametrize(("learn", "rows"), [("year", 9730), ("genres", 9708)])
def test_films_have_the_counts_that_their_yaml_says(learn: str, rows: int, tmp_path: Path) -> None:
    try:
        data = describe({"family": "films", "learn": learn}, cache=tmp_path)
    except DataError:
        pytest.skip("not in the data folder")
    assert data is not None
    assert sum(data.sizes().values()) == rows
    assert f"{rows:,}" in (Path(__file__).parents[1] / "conf" / "data" / f"film_{learn}.yaml").read_text()


# data check
def found(family: str, path: Path, **settings: Any) -> tuple[Any, Any]:
    raw = scan({"family": family, "path": str(path), **settings}, path.parent / "cache")
    return raw, check(raw, kind_named(raw.kind))


def test_check_counts_rows_a_label(tmp_path: Path) -> None:
    rows = [[n % 2, 0, n % 4 == 0, "train" if n < 16 else "test"] for n in range(20)]
    _, checked = found("text_table", table(tmp_path / "t.csv", "text_table", ["a", "b", "c", "part"], rows),
                       labels=["a", "b", "c"])  # fmt: skip
    told = {(finding.kind, finding.detail) for finding in checked.findings}
    assert ("rows a label", "a 10, c 5, b 0; 0.75 labels a row") in told
    assert ("label without both values", "b: no row of train has it") in told
    assert ("label without both values", "b: no row of test has it") in told
    assert not {finding.kind for finding in checked.findings} & {"uneven", "small class", "class not in test"}


def test_a_column_of_numbers_may_be_named_by_position(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "text_table", ["age"], [[n] for n in range(20)])
    assert opened("text_table", path, numbers=1).raw.parts["train"].targets[:, 0].tolist() == list(range(20))


def test_check_survives_a_table_of_which_every_row_is_bad(tmp_path: Path) -> None:
    _, checked = found("text_table", table(tmp_path / "t.csv", "text_table", ["a"], [["x"]] * 5), numbers=["a"])
    assert [finding.kind for finding in checked.findings].count("bad cell") == 5


def test_check_reports_the_range_of_numbers(tmp_path: Path) -> None:
    rows = [[n, 5, "train" if n < 10 else "test"] for n in range(12)]
    _, checked = found("csv", table(tmp_path / "t.csv", "csv", ["age", "k", "part"], rows), numbers=["age", "k"])
    told = {(finding.kind, finding.detail) for finding in checked.findings}
    assert ("range", "age: 0 to 11, mean 5.5, standard deviation 3.452") in told
    assert ("constant number", "k is 5 in every row") in told
    assert ("outside the range", "2 of 2 rows of test lie outside the range of train") in told


def test_check_counts_entities_a_type(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "train.txt").write_text("a B-x\nb I-x\nc B-x\n\nd O\n")
    (tmp_path / "d" / "test.txt").write_text("a B-y\n")
    _, checked = found("conll", tmp_path / "d")
    told = {(finding.level, finding.kind, finding.detail) for finding in checked.findings}
    assert ("note", "entities a type", "x 2, y 1; 1.00 entities a sentence") in told
    assert ("warn", "type not in train", "y: 1 entities, none in train") in told


def test_copies_with_different_targets_are_reported_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("text,year\nking kong,1933\nKing Kong,1976\na,1\nb,2\n")
    raw, checked = found("text_table", path, numbers=["year"])
    (copy,) = [finding for finding in checked.findings if finding.kind == "near-copies, 2 targets"]
    assert (copy.label, copy.detail) == ("1976", '~ t.csv row 2 "King Kong" (1933)')
    assert mended(raw, checked).skip == {}
    assert mended(raw, checked).groups == [["t.csv row 2", "t.csv row 3"]]


def test_the_command_reports_targets(transfer: Transfer, tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "text_table", ["age"], [[n] for n in range(20)])
    out = transfer("data", "check", str(path), "data.numbers=[age]")
    assert out.code == 0
    assert "1 target" in out.err + out.out
    assert "age: 0 to 19, mean 9.5" in out.out


def test_rows_without_classes_are_cut_at_random_and_copies_stay_together(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", "csv", ["age"], [[n] for n in range(40)])
    for number in range(20):  # rows 20 to 39 show the pictures of rows 0 to 19
        (tmp_path / f"{20 + number}.png").write_bytes((tmp_path / f"{number}.png").read_bytes())
    parts = [opened("csv", path, numbers="age", split_seed=seed, val_fraction=0.2).parts for seed in (0, 1)]
    cuts = [{part: set((index % 20).tolist()) for part, (_, index) in cut.items()} for cut in parts]
    for cut in cuts:
        assert [len(cut[part]) for part in ("train", "val", "test")] == [14, 4, 2]
        assert not cut["train"] & cut["test"] | cut["train"] & cut["val"] | cut["val"] & cut["test"]
    assert cuts[0]["test"] != cuts[1]["test"]


def test_targets_are_part_of_the_content(tmp_path: Path) -> None:
    """Readers may derive targets from data outside the files, as the folder reader derives labels from folder names."""
    rows = RawPart(np.zeros(3, np.int64), str, targets=np.array([[1.0], [2.0], [3.0]], np.float32))
    raw = Raw("made", ("row",), {"train": rows}, (), task="regress", targets=("age",))
    tags = [np.array([0, 1]), np.array([2])]
    variants = [
        raw,
        replace(raw, targets=("crp",)),
        replace(raw, parts={"train": replace(rows, targets=np.array([[1.0], [2.0], [4.0]], np.float32))}),
        replace(raw, parts={"train": replace(rows, targets=tags)}),
        replace(raw, parts={"train": replace(rows, targets=[np.array([0]), np.array([1, 2])])}),
    ]
    assert len({fingerprint(variant, {}) for variant in variants}) == len(variants)
