"""Data sets under a view: which rows are visible, what keys contain, and which settings are refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from transfer_cli.data.cache import converted
from transfer_cli.data.open import View, describe, describe_pair
from transfer_cli.errors import ConfigError, DataError

CONF = Path(__file__).parents[1] / "conf" / "data"
BASE = {"family": "base"}
TOTALS = [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # digits 0-9 in the whole set (its own description)


def digits(tmp_path, **view):
    return describe({"family": "digits", "val_fraction": 0.2, **view}, cache=tmp_path)


def pair(tmp_path, data=None, source=None):
    return describe_pair({"data": {"family": "digits", **(data or {})}, "source": {**BASE, **(source or {})}}, tmp_path)


def message(error) -> str:
    return error.value.faults[0].line()


def test_digits_are_those_of_scikit_learn(tmp_path):
    datasets = pytest.importorskip("sklearn.datasets")
    want, data = datasets.load_digits(), digits(tmp_path)
    pixels = converted(data.raw, "train", {"channels": 1, "size": 8, "crop": 8}, tmp_path)
    np.testing.assert_array_equal(pixels[:, 0], np.rint(want.images * 255 / 16))
    np.testing.assert_array_equal(data.raw.parts["train"].labels, want.target)
    assert data.classes == tuple("0123456789")


def test_digits_are_cut_60_20_20(tmp_path):
    data = digits(tmp_path)
    parts = [set(data.rows(part).index.tolist()) for part in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 1797
    for part in ("val", "test"):
        assert data.counts(part) == {n: int(c * 0.2 + 0.5) for n, c in zip(data.classes, TOTALS, strict=True)}


def test_labels_are_those_of_the_rows(tmp_path):
    data = digits(tmp_path, classes=[7, "3"])
    assert data.classes == ("7", "3")
    rows = data.rows("test")
    raw = data.raw.parts[rows.part].labels[rows.index]
    assert rows.labels.tolist() == [0 if label == 7 else 1 for label in raw]
    assert set(raw.tolist()) == {3, 7}
    assert rows.name(0) == f"digits/all/{rows.index[0]}"


def test_shots_limit_labelled_training_rows_only(tmp_path):
    data = digits(tmp_path, shots=3)
    rows = data.rows("train", seed=1)
    assert np.bincount(rows.labels).tolist() == [3] * 10
    assert len(data.rows("train", labelled=False).index) == data.sizes()["train"]
    assert not data.has("val")
    assert data.has("val", labelled=False)
    with pytest.raises(KeyError):
        data.rows("val")


def test_val_shots_restore_labelled_validation_rows(tmp_path):
    data = digits(tmp_path, shots=3, val_shots=2)
    assert data.has("val")
    assert np.bincount(data.rows("val", seed=4).labels).tolist() == [2] * 10


def test_fraction_draws_that_share(tmp_path):
    data = digits(tmp_path, fraction=0.1)
    assert abs(len(data.rows("train").index) / data.sizes()["train"] - 0.1) < 0.01
    assert len(data.rows("test").index) == data.sizes()["test"]


def test_drawn_rows_are_training_rows(tmp_path):
    data = digits(tmp_path, shots=5)
    everything = set(data.rows("train", labelled=False).index.tolist())
    assert all(set(data.rows("train", seed=seed).index.tolist()) < everything for seed in range(3))


def test_a_key_contains_the_seed_only_if_rows_are_drawn(tmp_path):
    plain, few = digits(tmp_path), digits(tmp_path, shots=5)

    def keys(data, part, labelled):
        return {json.dumps(data.key(part, labelled=labelled, seed=seed)) for seed in (0, 1)}

    assert len(keys(plain, "train", True)) == len(keys(few, "test", True)) == len(keys(few, "train", False)) == 1
    assert len(keys(few, "train", True)) == 2
    assert few.key("train", labelled=False, seed=0) == plain.key("train", labelled=False, seed=0)


@pytest.mark.parametrize("view", [{"split_seed": 1}, {"val_fraction": 0.3}, {"classes": [0, 1]}, {"shots": 2}])
def test_settings_that_change_rows_change_the_key(tmp_path, view):
    plain, other = digits(tmp_path), digits(tmp_path, **view)
    keys = [data.key("train", labelled=True, seed=0) for data in (plain, other)]
    assert keys[0] != keys[1]
    assert plain.rows("train").index.tolist() != other.rows("train").index.tolist()


NOISE = {"label_noise": 0.2, "noise_seed": 3}


def test_noise_changes_training_labels_only(tmp_path):
    plain, noisy = digits(tmp_path), digits(tmp_path, **NOISE)
    same = [("val", True), ("test", True), ("train", False)]
    for part, labelled in same:
        first, second = (data.rows(part, labelled=labelled, seed=1) for data in (plain, noisy))
        assert first.labels.tolist() == second.labels.tolist()
        assert plain.key(part, labelled=labelled, seed=1) == noisy.key(part, labelled=labelled, seed=1)
    clean, spoilt = plain.rows("train"), noisy.rows("train")
    assert clean.index.tolist() == spoilt.index.tolist()
    wrong = np.bincount(clean.labels[clean.labels != spoilt.labels])
    assert wrong.tolist() == [int(n * 0.2 + 0.5) for n in np.bincount(clean.labels)]
    assert noisy.note == "20 % of the training labels are wrong on purpose, symmetric"
    assert noisy.fingerprint == plain.fingerprint


def test_noise_has_a_seed_of_its_own_and_keeps_the_draw(tmp_path):
    clean, spoilt = digits(tmp_path, shots=10), digits(tmp_path, shots=10, **NOISE)
    for seed in (0, 1):
        first, second = clean.rows("train", seed=seed), spoilt.rows("train", seed=seed)
        assert first.index.tolist() == second.index.tolist()
        assert np.bincount(first.labels[first.labels != second.labels]).tolist() == [2] * 10
    other = digits(tmp_path, shots=10, label_noise=0.2, noise_seed=4)
    assert other.rows("train").labels.tolist() != spoilt.rows("train").labels.tolist()


@pytest.mark.parametrize("view", [{"label_noise": 0.3}, {"noise_kind": "asymmetric"}, {"noise_seed": 4}])
def test_settings_that_change_the_noise_change_the_key(tmp_path, view):
    keys = [digits(tmp_path, **made).key("train", labelled=True, seed=0) for made in (NOISE, NOISE | view, {})]
    assert len({json.dumps(key) for key in keys}) == 3
    without = [digits(tmp_path, **made).key("train", labelled=True, seed=0) for made in ({}, {"noise_seed": 4})]
    assert without[0] == without[1]  # a seed that is not used is in no key


def test_noise_in_a_text_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"line {i}\n" for i in range(500)))
    node = {"family": "text", "path": str(tmp_path / "a.txt"), "passage": 100, "label_noise": 0.1}
    with pytest.raises(DataError) as error:
        describe(node, cache=tmp_path)
    assert message(error) == "data.label_noise=0.1: a text has no labels"


def test_augmentation_and_model_do_not_enter_the_key(tmp_path):
    plain, other = digits(tmp_path), digits(tmp_path, augment="strong", default_model="mlp")
    assert plain.key("train", labelled=True, seed=0) == other.key("train", labelled=True, seed=0)


def test_base_and_target_are_halves(tmp_path):
    target, source = pair(tmp_path)
    assert source is not None
    assert (source.title, target.title) == ("digits classes 0-4", "digits classes 5-9")
    for part in ("train", "test"):
        shared = set(target.rows(part).index.tolist()) & set(source.rows(part).index.tolist())
        assert not shared
    assert set(source.raw.parts["train"].labels[source.rows("train").index].tolist()) == set(range(5))


def test_base_contains_the_classes_that_the_target_does_not_select(tmp_path):
    target, source = pair(tmp_path, data={"classes": [1, 8]})
    assert source is not None
    assert target.classes == ("1", "8")
    assert source.classes == tuple("02345679")
    assert source.title == "digits, 8 of 10 classes"
    assert target.title == "digits classes 1, 8"


def test_source_shots_do_not_touch_the_target(tmp_path):
    target, source = pair(tmp_path, source={"shots": 2})
    assert source is not None
    assert len(source.rows("train").index) == 10
    assert target.has("val")


def test_no_source(tmp_path):
    target, source = describe_pair({"data": {"family": "digits"}, "source": {"family": "none"}}, tmp_path)
    assert source is None
    assert len(target.classes) == 10


@pytest.mark.parametrize(
    ("data", "source", "text"),
    [
        # 174 eights, less 17 for validation (0.1) and 35 for test (0.2)
        ({"shots": 500}, {}, "data.shots=500: class 8 has 122 labels to learn from; allowed 1 to 122"),
        ({"val_shots": 18}, {}, "data.val_shots=18: class 8 has 17 labels to validate on; allowed 1 to 17"),
        # 178 zeros, less 18 and 36
        ({}, {"shots": 500}, "source.shots=500: class 0 has 124 labels to learn from; allowed 1 to 124"),
        ({"classes": ["1", "eight"]}, {}, "data.classes=eight: digits has no such class; positions are 0 to 9"),
        ({"classes": [3, 10]}, {}, "data.classes=10: digits has no such class; positions are 0 to 9"),
        ({"classes": [3]}, {}, "data.classes: only 1 class, 3; a classifier needs 2 or more"),
        ({"classes": []}, {}, "data.classes: no classes; a classifier needs 2 or more"),
        ({"classes": [3, 3, 4]}, {}, "data.classes: given twice: 3"),
        (
            {"classes": list(range(9))},
            {},
            "source=base: of 10 classes of digits 1 would be base and 9 target; both need 2 or more",
        ),
        ({}, {"classes": [4, 5]}, "source.classes: base and target share 5"),
        ({"shots": 3, "fraction": 0.5}, {}, "data.fraction=0.5: not together with shots"),
    ],
)
def test_errors_name_the_value_and_allowed_values(tmp_path, data, source, text):
    with pytest.raises(DataError) as error:
        pair(tmp_path, data, source)
    assert message(error) == text
    assert error.value.code == 4


def test_a_misspelt_class_has_a_nearest_one(tmp_path, monkeypatch):
    from transfer_cli.data.readers import digits as family

    monkeypatch.setattr(family, "digit_names", lambda: ("cat", "dog", *"01234567"))
    with pytest.raises(DataError, match="nearest: cat"):
        digits(tmp_path, classes=["dog", "cta"])


def test_an_unknown_family(tmp_path):
    with pytest.raises(ConfigError, match=r"data/readers/nope\.py: no such file or class"):
        describe({"family": "nope"}, cache=tmp_path)


def test_a_family_of_a_plugin(tmp_path, monkeypatch):
    package = tmp_path / "my_plugin"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "two_dots.py").write_text(
        "import numpy as np\nfrom transfer_cli.data.contracts import Raw, RawPart\n"
        "class TwoDots:\n    def __init__(self, *, n: int = 20) -> None:\n        self.n = n\n"
        "    def open(self, places):\n        labels = np.arange(self.n) % 2\n"
        "        return Raw('dots', ('a', 'b'), {'train': RawPart(labels, str, rows=lambda: None)}, ())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    data = describe({"family": "two_dots", "n": 40}, cache=tmp_path, plugins=["my_plugin"])
    assert data is not None
    assert sum(data.sizes().values()) == 40


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_yamls_begin_with_what_they_are_and_an_example(path):
    first = path.read_text().splitlines()[0]
    assert first.startswith("# ")
    assert "transfer run " in first
    node = yaml.safe_load(path.read_text())
    if node["family"] in ("digits", "torchvision"):
        assert {"default_model", "val_fraction"} <= set(node)
        assert View(**{key: node[key] for key in ("default_model", "val_fraction")})


def test_the_glob_reaches_every_yaml():
    assert {path.stem for path in CONF.glob("*.yaml")} >= {
        "digits",
        "mnist",
        "usps",
        "cifar10",
        "folder",
        "csv",
        "base",
        "none",
    }


def test_families_import_no_torch():
    names = ["open", "dataset", "splits", "cache", "fetch.datasets", "quality.check"]
    folder = Path(__file__).parents[1] / "transfer_cli" / "data"
    names += [f"{part}.{file.stem}" for part in ("readers", "formats") for file in (folder / part).glob("[!_]*.py")]
    code = f"import sys\nfor n in {names!r}: __import__('transfer_cli.data.' + n)\n"
    code += "assert not {'torch', 'torchvision', 'pandas', 'sklearn', 'scipy', 'datasets'} & set(sys.modules)"
    root = str(Path(__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_base_is_augmented_like_its_target_by_default(tmp_path):
    node = {"family": "digits", "val_fraction": 0.2, "augment": "weak"}
    for given, expected in (({}, "weak"), ({"augment": "strong"}, "strong"), ({"augment": None}, "weak")):
        values = {"data": node, "source": {"family": "base", **given}, "plugins": []}
        target, source = describe_pair(values, tmp_path)
        assert (target.augment, source.augment) == ("weak", expected)
    plain, _ = describe_pair({"data": {"family": "digits"}, "source": {"family": "base"}, "plugins": []}, tmp_path)
    assert plain.augment == "none"
