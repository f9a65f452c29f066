"""Data by the library `datasets`, from files that are here."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import write_pictures
from PIL import Image

from transfer_cli.data.cache import converted
from transfer_cli.data.open import describe
from transfer_cli.errors import ConfigError, DataError

GREY = {"channels": 1, "size": 8, "crop": 8}


@pytest.fixture(scope="module")
def library() -> Any:
    return pytest.importorskip("datasets", reason="the extra hf is not installed")


def opened(path: Path | str, cache: Path, **settings: Any) -> Any:
    return describe({"family": "hf", "path": str(path), **settings}, cache=cache / "cache")


def parquet(library: Any, path: Path, rows: dict[str, Any], **kinds: Any) -> Path:
    given = {name: library.Value("string") for name in rows} | kinds
    library.Dataset.from_dict(rows, features=library.Features(given)).to_parquet(str(path))
    return path


def test_a_folder_of_pictures_is_read_as_our_own_reader_does(library: Any, tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_pictures(tmp_path / "pics" / part)
    (tmp_path / "pics" / "README.md").write_text("---\nconfigs:\n- data_files: https://example.org/x.csv\n---\n")
    theirs = opened(tmp_path / "pics", tmp_path)
    ours = describe({"family": "folder", "path": str(tmp_path / "pics")}, cache=tmp_path / "cache")
    assert ours is not None
    assert theirs.classes == ours.classes
    assert theirs.sizes() == ours.sizes()
    for part in ("train", "test"):
        first, second = (converted(data.raw, part, GREY, tmp_path / "cache") for data in (theirs, ours))
        np.testing.assert_array_equal(first, second)
        assert theirs.raw.parts[part].labels.tolist() == ours.raw.parts[part].labels.tolist()


def test_pictures_inside_parquet(library: Any, tmp_path: Path) -> None:
    """Written out once, byte for byte, so that what holds for files holds for them; splits by the names of files."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8), np.uint8)
    rows = {"image": [Image.fromarray(row) for row in pixels], "label": [i % 2 for i in range(12)]}
    kinds = {"image": library.Image(), "label": library.ClassLabel(names=["cat", "dog"])}
    folder = tmp_path / "data"
    folder.mkdir()
    parquet(library, folder / "train-00000-of-00001.parquet", {k: v[:8] for k, v in rows.items()}, **kinds)
    parquet(library, folder / "validation-00000-of-00001.parquet", {k: v[8:] for k, v in rows.items()}, **kinds)
    data = opened(folder, tmp_path, val_fraction=0.25)
    assert data.classes == ("cat", "dog")
    assert data.sizes() == {"val": 2, "test": 4, "train": 6}  # the validation split is the test part
    np.testing.assert_array_equal(converted(data.raw, "test", GREY, tmp_path / "cache")[:, 0], pixels[8:])
    again = opened(folder, tmp_path, val_fraction=0.25)
    assert again.fingerprint == data.fingerprint


def test_texts_of_a_table(library: Any, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("sentence,label,n\n" + "".join(f"text {i},{'pn'[i % 2]},{i}\n" for i in range(20)))
    data = opened(tmp_path / "a.csv", tmp_path, input="sentence", test_fraction=0.2)
    assert data.classes == ("n", "p")
    assert data.raw.kind == "texts"
    assert data.raw.parts["train"].rows()[:2] == ["text 0", "text 1"]
    assert data.raw.sources == (tmp_path / "a.csv",)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "a.csv").write_bytes((tmp_path / "a.csv").read_bytes())
    moved = opened(tmp_path / "b" / "a.csv", tmp_path, input="sentence", test_fraction=0.2)
    assert moved.fingerprint == data.fingerprint  # where files lie does not count


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, r"no column text; columns: sentence, label, n$"),
        ({"input": "n"}, "column n holds neither pictures nor texts"),
        ({"input": "sentence", "label": "lable"}, "no column lable; columns: sentence, label, n; nearest: label"),
    ],
)
def test_columns_that_are_not_there(library: Any, tmp_path: Path, settings: dict[str, Any], text: str) -> None:
    (tmp_path / "a.csv").write_text("sentence,label,n\nx,p,1\ny,n,2\n")
    with pytest.raises(DataError, match=text) as error:
        opened(tmp_path / "a.csv", tmp_path, **settings)
    assert error.value.code == 4


def test_labels_that_are_kept_secret(library: Any, tmp_path: Path) -> None:
    kinds = {"label": library.ClassLabel(names=["a", "b"])}
    file = parquet(library, tmp_path / "a.parquet", {"text": ["x", "y", "z"], "label": [0, 1, -1]}, **kinds)
    with pytest.raises(DataError, match=r"train row 3: no label; 1 in all"):
        opened(file, tmp_path)


def test_a_table_names_no_pictures_outside_and_no_empty_texts(library: Any, tmp_path: Path) -> None:
    write_pictures(tmp_path / "mine", classes=("cat",), count=1)
    outside = {"image": [str(tmp_path / "mine" / "cat" / "00.png")] * 2, "label": ["a", "b"]}
    rows = {"image": [{"bytes": None, "path": path} for path in outside["image"]], "label": outside["label"]}
    file = parquet(library, tmp_path / "a.parquet", rows, image=library.Image(decode=False))
    with pytest.raises(DataError, match=r"names a picture outside the data: .*00\.png"):
        opened(file, tmp_path)
    file = parquet(library, tmp_path / "b.parquet", {"text": ["x", None], "label": ["a", "b"]})
    with pytest.raises(DataError, match=r"b\.parquet/train/1: no text"):
        opened(file, tmp_path)


def test_what_cannot_be_read(library: Any, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"a\.parquet: not readable by the datasets library: "):
        opened(tmp_path / "a.parquet", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: no \.parquet, \.csv or pictures there"):
        opened(tmp_path / "empty", tmp_path)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "test.csv").write_text("text,label\nx,p\n")
    with pytest.raises(DataError, match=r"no split train; splits: test"):
        opened(tmp_path / "test", tmp_path)
    for path in ("./nope", "nope.parquet", "a/b/c", "../no-such-folder-anywhere"):
        with pytest.raises(DataError, match="no such file or folder"):
            opened(path, tmp_path)


def test_a_name_on_the_hub_without_a_network(library: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        opened("somebody/something", tmp_path)
    (fault,) = error.value.faults
    assert fault.line() == (
        "data.path=somebody/something: a name on the hub, and the network is off (--offline or TRANSFER_OFFLINE)"
    )


def test_without_the_extra(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError) as error:
        opened("somebody/something", tmp_path)
    (fault,) = error.value.faults
    assert fault.line() == "data=hf: needs an extra: pip install 'transfer-cli[hf]'"
    assert error.value.code == 2
