"""Readers of mnist, usps and cifar10 against torchvision, published checksums and hand-made files."""

import bz2
import gzip
import hashlib
import pickle
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfer_cli.data.contracts import Places
from transfer_cli.data.formats import cifar
from transfer_cli.data.formats.cifar import read_batch
from transfer_cli.data.formats.idx import read_idx
from transfer_cli.data.formats.usps import read_usps
from transfer_cli.data.open import describe
from transfer_cli.data.readers.torchvision import Torchvision
from transfer_cli.errors import DataError

SHARED = Path(__file__).parents[2] / "shared" / "datasets"
real = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data sets are not here")


def message(error) -> str:
    return error.value.faults[0].line()


def idx_bytes(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.mark.parametrize("name", ["x", "x.gz"])
def test_idx_round_trip(tmp_path, name):
    want = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    data = idx_bytes(want)
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    np.testing.assert_array_equal(read_idx(tmp_path / name), want)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (idx_bytes(np.zeros((5, 4), np.uint8))[:-3], "idx ends at byte 29 of 32"),
        (idx_bytes(np.zeros(4, np.uint8)) + b"x", "idx goes on after byte 12"),
        (b"hello", "no idx file of bytes: begins with 68 65 6c 6c, want 00 00 08"),
        (b"", "no idx file of bytes: begins with nothing, want 00 00 08"),
        (b"\0\0\x08\x03" + b"\xff" * 12, f"header promises {(2**32 - 1) ** 3:,} bytes, allowed 4,000,000,000"),
    ],
)
def test_bad_idx_files(tmp_path, data, text):
    path = tmp_path / "x-ubyte"
    path.write_bytes(data)
    with pytest.raises(DataError) as error:
        read_idx(path)
    assert message(error) == f"{path}: {text}"


def test_a_truncated_gzip(tmp_path):
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.random.default_rng(0).integers(0, 256, 9999, np.uint8)))[:900])
    with pytest.raises(DataError, match="not readable as idx"):
        read_idx(path)


def small_mnist(folder: Path, labels=(3, 1, 4, 1)) -> None:
    rng = np.random.default_rng(0)
    for stem in ("train", "t10k"):
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(idx_bytes(rng.integers(0, 256, (4, 28, 28), np.uint8)))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx_bytes(np.array(labels, np.uint8)))


def test_a_label_out_of_range_names_its_row(home):
    small_mnist(home, labels=(0, 9, 12, 3))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte: row 3: label 12 is outside 0\.\.9$"):
        Torchvision(name="mnist").open(Places(home / "cache"))


def test_pictures_and_labels_must_be_as_many(home):
    small_mnist(home)
    (home / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.array([1, 2], np.uint8)))
    raw = Torchvision(name="mnist").open(Places(home / "cache"))
    with pytest.raises(DataError, match="want 2 pictures as train-labels-idx1-ubyte has labels"):
        raw.parts["train"].rows()


def test_a_missing_set_names_file_variable_and_ways(home):
    with pytest.raises(DataError) as error:
        describe({"family": "torchvision", "name": "mnist"}, cache=home / "cache", word="source")
    (fault,) = error.value.faults
    assert fault.line() == (
        f"source=mnist: not in the data folder (TRANSFER_DATA: {home}); "
        "wants MNIST/raw/train-images-idx3-ubyte.gz, 12 MB"
    )
    assert fault.do == "transfer fetch mnist (network), or: transfer fetch mnist --from FILE"
    assert error.value.code == 4


def test_what_was_fetched_is_found_without_the_variable(home, monkeypatch):
    monkeypatch.delenv("TRANSFER_DATA")
    fetched = home / "cache" / "data" / "mnist" / "MNIST" / "raw"
    fetched.mkdir(parents=True)
    small_mnist(fetched)
    raw = Torchvision(name="mnist").open(Places(home / "cache"))
    assert raw.parts["test"].labels.tolist() == [3, 1, 4, 1]
    assert raw.sources[0].parent == fetched


def usps_text(rows) -> bytes:
    lines = [" ".join([str(label), *(f"{i}:{v}" for i, v in enumerate(values, 1))]) for label, values in rows]
    return "\n".join(lines).encode() + b"\n"


def write_usps(path: Path, rows) -> Path:
    path.write_bytes(bz2.compress(usps_text(rows)))
    return path


def test_usps_by_hand(tmp_path):
    """(-1 + 1) / 2 * 255 = 0, (0 + 1) / 2 * 255 = 127.5 -> 127, (1 + 1) / 2 * 255 = 255; label 10 is nine."""
    path = write_usps(tmp_path / "usps.bz2", [(10, [-1, 0, 1] + [-1] * 253)])
    assert read_usps(path)[0, :4].tolist() == [9, 0, 127, 255]


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([(1, [0] * 256), (11, [0] * 256)], "row 2: label 11 is outside 1..10"),
        ([(1, [0] * 256), (2, [0] * 255 + [1.5])], "row 2: value of size 1.5 is outside -1..1"),
        ([(1, ["nan"] + [0] * 255)], "row 1: value of size nan is outside -1..1"),
        ([(1, [0] * 256), (2, [0] * 255)], "row 2: 255 values, want 256"),
    ],
)
def test_bad_usps_rows_are_named(tmp_path, rows, text):
    path = write_usps(tmp_path / "usps.bz2", rows)
    with pytest.raises(DataError) as error:
        read_usps(path)
    assert message(error) == f"{path}: {text}"


def test_usps_that_is_no_bz2(tmp_path):
    (tmp_path / "usps.bz2").write_bytes(b"1 1:0")
    with pytest.raises(DataError, match="not readable as bz2"):
        read_usps(tmp_path / "usps.bz2")


@real
def test_usps_is_read_as_torchvision_reads_it():
    """Line by line, in torchvision's words: ((imgs + 1) / 2 * 255).astype(uint8) of float32, labels less 1."""
    ours = read_usps(SHARED / "usps" / "usps.t.bz2")
    assert ours.shape == (2007, 257)
    with bz2.open(SHARED / "usps" / "usps.t.bz2") as file:
        lines = [line.decode().split() for line in file.readlines()][::10]
    values = np.asarray([[cell.split(":")[-1] for cell in line[1:]] for line in lines], dtype=np.float32)
    np.testing.assert_array_equal(ours[::10, 1:], ((values + 1) / 2 * 255).astype(np.uint8))
    assert ours[::10, 0].tolist() == [int(line[0]) - 1 for line in lines]


@real
def test_cifar10_test_pixels_are_the_published_ones(home, monkeypatch):
    monkeypatch.setenv("TRANSFER_DATA", str(SHARED))
    data = describe({"family": "torchvision", "name": "cifar10"}, cache=home)
    assert data is not None
    assert data.note == "train 10,000 of 50,000"
    assert data.sizes() == {"val": 1000, "test": 10_000, "train": 9000}
    pixels = data.raw.parts["test"].rows()
    digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
    assert digest == "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04"


def test_sheets_without_all_files(home):
    np.savez(home / "labels.npz", train_labels=np.zeros(10_000, np.uint8), test_labels=np.zeros(10_000, np.uint8))
    with pytest.raises(DataError, match=r"train_00\.webp: missing beside labels\.npz"):
        Torchvision(name="cifar10").open(Places(home / "cache"))


def test_labels_that_are_pickled_objects_are_not_opened(home):
    np.savez(home / "labels.npz", train_labels=np.array([Evil()], object), test_labels=np.zeros(1))
    for part in ("train", "test"):
        for sheet in range(4):
            Image.new("RGB", (8, 8)).save(home / f"{part}_{sheet:02}.webp")
    with pytest.raises(DataError, match="no labels"):
        Torchvision(name="cifar10").open(Places(home / "cache"))
    assert not MARKER


MARKER: list[str] = []


class Evil:
    def __reduce__(self):
        return MARKER.append, ("called",)


def batch(labels, pixels) -> bytes:
    return pickle.dumps({"labels": labels, "data": pixels, "batch_label": "x", "filenames": ["a"]}, protocol=2)


def publish(monkeypatch, folder: Path, name: str, data: bytes) -> Path:
    """Write a batch and call its md5 the published one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    monkeypatch.setitem(cifar.BATCHES, name, hashlib.md5(data, usedforsecurity=False).hexdigest())
    return folder / name


def test_cifar_batches_in_torchvision_layout(home, monkeypatch):
    pixels = np.random.default_rng(1).integers(0, 256, (10, 3072), np.uint8)
    for name in list(cifar.BATCHES):
        publish(monkeypatch, home / "cifar-10-batches-py", name, batch(list(range(10)), pixels))
    data = describe({"family": "torchvision", "name": "cifar10"}, cache=home / "cache")
    assert data is not None
    assert data.note == ""
    assert len(data.raw.parts["train"].labels) == 50
    image = data.raw.parts["test"].rows()[3]
    np.testing.assert_array_equal(image[5, 7], pixels[3].reshape(3, 32, 32)[:, 5, 7])
    again = describe({"family": "torchvision", "name": "cifar10"}, cache=home / "cache")
    assert again is not None
    np.testing.assert_array_equal(again.raw.parts["test"].rows()[3], image)


def test_a_batch_with_another_checksum_is_not_unpickled(tmp_path):
    path = tmp_path / "test_batch"
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError, match=r"md5 .* published 40351d58\.\.\.; not opened"):
        read_batch(path)
    assert not MARKER


def test_even_a_published_batch_may_hold_arrays_only(tmp_path, monkeypatch):
    path = publish(monkeypatch, tmp_path, "test_batch", b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(DataError, match=r"not opened: holds os\.system"):
        read_batch(path)


@real
def test_describing_mnist_reads_no_pixels(home, monkeypatch):
    monkeypatch.setenv("TRANSFER_DATA", str(SHARED))
    opened = []
    monkeypatch.setattr(sys.modules["transfer_cli.data.readers.torchvision"], "_images", lambda *a: opened.append(a))
    data = describe({"family": "torchvision", "name": "mnist"}, cache=home)
    assert data is not None
    assert data.sizes() == {"val": 6000, "test": 10_000, "train": 54_000}
    assert not data.flip
    assert not opened
