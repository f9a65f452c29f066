"""Published sets of pictures against readers of their own: idx files by hand, scipy's .mat, pickles, .npz."""

import gzip
import hashlib
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from test_data_torchvision import MARKER, SHARED, Evil, idx_bytes, message, real

from transfer_cli.data.formats import cifar
from transfer_cli.data.open import describe
from transfer_cli.errors import ConfigError, DataError


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def opened(home: Path, name: str):
    data = describe({"family": "torchvision", "name": name, "val_fraction": 0.1}, cache=home / "cache")
    assert data is not None
    return data


def by_hand(name: str) -> np.ndarray:
    """Bytes of an idx file behind its header."""
    data = gzip.decompress((SHARED / name).read_bytes())
    return np.frombuffer(data[4 + 4 * data[3] :], np.uint8)


# idx
@real
@pytest.mark.parametrize(
    ("name", "folder", "sizes", "note"),
    [
        ("fashion_mnist", "FashionMNIST", {"train": 18_000, "val": 2000, "test": 10_000}, "train 20,000 of 60,000"),
        (
            "kmnist",
            "KMNIST",
            {"train": 7000, "val": 1000, "test": 2000},
            "no training files: train and test are cut from the 10,000 test pictures, 80 % and 20 %",
        ),
    ],
)
def test_partial_sets_say_so(tmp_path, monkeypatch, name, folder, sizes, note):
    monkeypatch.setenv("TRANSFER_DATA", str(SHARED))
    data = opened(tmp_path, name)
    assert data.sizes() == sizes
    assert data.note == note
    assert set(data.counts("test").values()) == {sizes["test"] // 10}
    last = data.raw.parts["train" if name == "kmnist" else "test"]
    np.testing.assert_array_equal(last.labels, by_hand(f"{name}/{folder}/raw/t10k-labels-idx1-ubyte.gz"))
    np.testing.assert_array_equal(last.read().ravel(), by_hand(f"{name}/{folder}/raw/t10k-images-idx3-ubyte.gz"))


@real
def test_classes_of_fashion_are_torchvisions():
    """Read from torchvision's source as text: importing it takes seconds."""
    from transfer_cli.data.fetch.imagenet import _models
    from transfer_cli.data.readers.torchvision import FASHION, KUZUSHIJI

    text = (_models().parent / "datasets" / "mnist.py").read_text()
    for classes in (FASHION, KUZUSHIJI):
        assert str(list(classes)).replace("'", '"') in text


def idx_set(folder: Path, stems=("train", "t10k"), rows: int = 40) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for stem in stems:
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(idx_bytes(rng.integers(0, 256, (rows, 28, 28), np.uint8)))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx_bytes(np.arange(rows, dtype=np.uint8) % 10))


def test_files_of_mnist_are_not_taken_for_another_set(home):
    """All sets of idx files have the same file names: beside TRANSFER_DATA itself they are MNIST's."""
    idx_set(home)
    assert len(opened(home, "mnist").raw.parts["train"].labels) == 40
    for name in ("fashion_mnist", "kmnist"):
        with pytest.raises(DataError, match="not in the data folder"):
            opened(home, name)
        idx_set(home / name)
        assert len(opened(home, name).raw.parts["train"].labels) == 40


def test_only_kmnist_works_without_training_files(home):
    for folder in ("FashionMNIST", "KMNIST"):
        idx_set(home / folder / "raw", stems=("t10k",))
    assert opened(home, "kmnist").raw.test_fraction == 0.2
    with pytest.raises(DataError, match=r"wants FashionMNIST/raw/train-images-idx3-ubyte\.gz, 31 MB"):
        opened(home, "fashion_mnist")
    (home / "KMNIST/raw/t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"wants KMNIST/raw/train-images-idx3-ubyte\.gz, 21 MB"):
        opened(home, "kmnist")


# SVHN
def write_svhn(home: Path, labels=(10, 1, 9, 10), pixels: np.ndarray | None = None) -> np.ndarray:
    scipy = pytest.importorskip("scipy.io")
    made = np.random.default_rng(1).integers(0, 256, (32, 32, 3, len(labels)), np.uint8)
    for part in ("train", "test"):
        stored = {"X": made if pixels is None else pixels, "y": np.array(labels, np.uint8)[:, None]}
        scipy.savemat(home / f"{part}_32x32.mat", stored, do_compression=True)
    return made


def test_svhn_by_hand(home):
    """Label 10 is the digit 0; X is [32, 32, 3, N]."""
    made = write_svhn(home)
    part = opened(home, "svhn").raw.parts["test"]
    assert part.labels.tolist() == [0, 1, 9, 0]
    np.testing.assert_array_equal(part.read()[2], made[:, :, :, 2])


@pytest.mark.parametrize(
    ("labels", "pixels", "text"),
    [
        ((1, 11), None, "row 2: label 11 is outside 1..10"),
        ((0, 1), None, "row 1: label 0 is outside 1..10"),
        ((1, 2), np.zeros((28, 28, 2), np.uint8), "X is uint8 [28, 28, 2], want uint8 [32, 32, 3, N]"),
    ],
)
def test_bad_svhn(home, labels, pixels, text):
    write_svhn(home, labels, pixels)
    with pytest.raises(DataError) as error:
        opened(home, "svhn").raw.parts["train"].rows()
    assert message(error) == f"{home}/train_32x32.mat: {text}"


def test_an_invalid_mat(home):
    pytest.importorskip("scipy.io")
    (home / "train_32x32.mat").write_bytes(b"hello" * 100)
    (home / "test_32x32.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(400))
    with pytest.raises(DataError, match=r"train_32x32\.mat: not readable as \.mat"):
        opened(home, "svhn")
    write_svhn(home)
    (home / "test_32x32.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM" + bytes(400))
    with pytest.raises(DataError, match=r"test_32x32\.mat: a MATLAB 7\.3 file \(HDF5\); wants version 5 to 7"):
        opened(home, "svhn")


def test_svhn_without_scipy(home, monkeypatch):
    write_svhn(home)
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ConfigError) as error:
        opened(home, "svhn")
    assert message(error) == f"{home}/train_32x32.mat: needs an extra: pip install 'transfer-cli[scipy]'"


# CIFAR-100
def write_cifar100(home: Path, monkeypatch) -> np.ndarray:
    folder = home / "cifar-100-python"
    folder.mkdir()
    pixels = np.random.default_rng(2).integers(0, 256, (100, 3072), np.uint8)
    rows = {"fine_labels": list(range(100)), "coarse_labels": [0] * 100, "data": pixels, "filenames": ["x"]}
    names = {"fine_label_names": [f"class {i}" for i in range(100)], "coarse_label_names": ["all"]}
    for name, content in (("train", rows), ("test", rows), ("meta", names)):
        data = pickle.dumps(content, protocol=2)
        (folder / name).write_bytes(data)
        monkeypatch.setitem(cifar.HUNDRED, name, hashlib.md5(data, usedforsecurity=False).hexdigest())
    return pixels


def test_cifar100_has_fine_labels_and_its_own_names(home, monkeypatch):
    pixels = write_cifar100(home, monkeypatch)
    data = opened(home, "cifar100")
    assert data.classes[:2] == ("class 0", "class 1")
    assert data.raw.parts["test"].labels.tolist() == list(range(100))
    np.testing.assert_array_equal(data.raw.parts["test"].rows()[7][5, 9], pixels[7].reshape(3, 32, 32)[:, 5, 9])


@pytest.mark.parametrize("name", ["train", "meta"])
def test_cifar100_that_is_not_the_published_one_is_not_unpickled(home, monkeypatch, name):
    write_cifar100(home, monkeypatch)
    (home / "cifar-100-python" / name).write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError, match=r"md5 .* published .*; not opened"):
        opened(home, "cifar100")
    assert not MARKER


# MedMNIST
def medmnist(home: Path, **arrays) -> Path:
    rng = np.random.default_rng(3)
    made = {}
    for part, rows in (("train", 30), ("val", 6), ("test", 9)):
        made[f"{part}_images"] = rng.integers(0, 256, (rows, 28, 28), np.uint8)
        made[f"{part}_labels"] = (np.arange(rows) % 3)[:, None].astype(np.uint8)
    made |= arrays
    np.savez(home / "set.npz", **{name: array for name, array in made.items() if array is not None})
    return home / "set.npz"


def looked_at(path: Path, home: Path, **settings):
    return describe({"family": "medmnist", "path": str(path), **settings}, cache=home / "cache")


@real
def test_pneumonia_is_the_published_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_DATA", str(SHARED))
    data = describe({"family": "medmnist"}, cache=tmp_path)
    assert data is not None
    counts = {part: data.counts(part) for part in ("train", "val", "test")}
    assert {part: list(rows.values()) for part, rows in counts.items()} == {  # MedMNIST's own figures
        "train": [1214, 3494],
        "val": [135, 389],
        "test": [234, 390],
    }
    assert list(counts["test"]) == ["normal", "pneumonia"]
    assert data.raw.parts["val"].rows().shape == (524, 28, 28)
    assert not data.flip


@pytest.mark.parametrize("channels", [(), (3,)])
def test_medmnist_grey_and_colour(home, channels):
    pixels = np.random.default_rng(4).integers(0, 256, (30, 28, 28, *channels), np.uint8)
    data = looked_at(medmnist(home, train_images=pixels), home)
    assert data.sizes() == {"val": 6, "test": 9, "train": 30}
    assert data.classes == ("0", "1", "2")
    np.testing.assert_array_equal(data.raw.parts["train"].rows(), pixels)


def test_without_a_test_part_val_is_the_test_part(home):
    data = looked_at(medmnist(home, test_images=None, test_labels=None), home, val_fraction=0.2)
    assert data.sizes() == {"val": 6, "test": 6, "train": 24}


WRONG_MEDMNIST = {
    "no train": ({"train_images": None}, "no array train_images; arrays: train_labels, val_images, val_labels, "),
    "no labels": ({"val_labels": None}, "no array val_labels; arrays: "),
    "several labels": ({"train_labels": np.zeros((30, 14), np.uint8)}, "want one whole number a picture"),
    "volumes": ({"train_images": np.zeros((30, 28, 28, 28), np.uint8)}, r"want uint8 \[N, H, W\] or \[N, H, W, 3\]"),
    "floats": ({"train_images": np.zeros((30, 28, 28), np.float32)}, "train_images is float32"),
    "unseen": ({"test_labels": np.full((9, 1), 7, np.uint8)}, "test row 1: label 7 is not in train"),
    "objects": (
        {"train_labels": np.array([Evil()] * 30, object)},
        "array train_labels holds Python objects, which are",
    ),
}


@pytest.mark.parametrize("case", WRONG_MEDMNIST)
def test_wrong_medmnist(home, case):
    arrays, text = WRONG_MEDMNIST[case]
    with pytest.raises(DataError, match=text) as error:
        looked_at(medmnist(home, **arrays), home).raw.parts["train"].rows()
    assert error.value.code == 4
    assert not MARKER


def test_medmnist_that_is_missing_or_invalid(home, tmp_path):
    with pytest.raises(DataError, match=r"wants medmnist/pneumoniamnist\.npz, 5 MB"):
        describe({"family": "medmnist"}, cache=tmp_path)
    with pytest.raises(DataError, match=r"data\.name=\.\./x: is not the name of a MedMNIST set"):
        describe({"family": "medmnist", "name": "../x"}, cache=tmp_path)
    with pytest.raises(DataError, match="no such file"):
        looked_at(home / "nope.npz", home)
    (home / "bad.npz").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"bad\.npz: not readable as \.npz"):
        looked_at(home / "bad.npz", home)
    whole = medmnist(home).read_bytes()
    (home / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut\.npz: not readable as \.npz"):
        looked_at(home / "cut.npz", home)
    with pytest.raises(DataError) as error:
        looked_at(medmnist(home), home, names=["a", "b"])
    assert message(error) == "data.names: 2 names for 3 labels: 0, 1, 2"
