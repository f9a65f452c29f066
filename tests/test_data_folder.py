"""Folders and tables of users: which files are read, how they are split, and error messages."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from transfer_cli.data.cache import converted
from transfer_cli.data.open import describe
from transfer_cli.errors import DataError

INPUT = {"channels": 3, "size": 8, "crop": 8}


def pictures(folder: Path, count: int, colour=0, start=0) -> None:
    """`count` different small pictures; their first channel is `colour`, their second the number."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(start, start + count):
        Image.new("RGB", (8, 8), (colour, number, 0)).save(folder / f"{number:03}.png")


def opened(tmp_path, path=None, family="folder", **view):
    return describe({"family": family, "path": str(path or tmp_path / "pics"), **view}, cache=tmp_path / "cache")


def lines(error) -> list[str]:
    return [fault.line() for fault in error.value.faults]


@pytest.fixture
def pics(tmp_path):
    pictures(tmp_path / "pics" / "b", 20, colour=200)
    pictures(tmp_path / "pics" / "a", 10, colour=100)
    return tmp_path / "pics"


def test_folders_are_classes_in_order_of_names(tmp_path, pics):
    data = opened(tmp_path)
    assert data.classes == ("a", "b")
    assert data.sizes() == {"val": 3, "test": 3, "train": 24}
    rows = data.rows("train")
    pixels = converted(data.raw, rows.part, INPUT, tmp_path / "cache")[rows.index]
    assert pixels.shape == (24, 3, 8, 8)
    assert pixels[:, 0, 0, 0].tolist() == [100 if label == 0 else 200 for label in rows.labels]
    assert rows.name(0) == f"a/{pixels[0, 1, 0, 0]:03}.png"


def test_pictures_are_kept_and_mapped(tmp_path, pics):
    data = opened(tmp_path)
    first = converted(data.raw, "train", INPUT, tmp_path / "cache")
    shutil.rmtree(pics)
    again = converted(data.raw, "train", INPUT, tmp_path / "cache")
    np.testing.assert_array_equal(first, again)
    other = data.raw.parts["train"]
    assert other.files is not None
    with pytest.raises(DataError, match="no such file; 29 more"):
        converted(data.raw, "train", {**INPUT, "size": 9}, tmp_path / "cache")


def test_a_damaged_cache_is_rebuilt(tmp_path, pics):
    data = opened(tmp_path)
    want = np.array(converted(data.raw, "train", INPUT, tmp_path / "cache"))
    (kept,) = (tmp_path / "cache" / "arrays").glob("*.npy")
    assert kept.stat().st_mode & 0o777 == 0o444
    kept.chmod(0o644)
    kept.write_bytes(kept.read_bytes()[:500])
    np.testing.assert_array_equal(converted(data.raw, "train", INPUT, tmp_path / "cache"), want)


def test_an_interrupted_decoding_caches_nothing(tmp_path, pics):
    calls = []

    def poll() -> None:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt

    data = opened(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        converted(data.raw, "train", INPUT, tmp_path / "cache", poll)
    assert not list((tmp_path / "cache" / "arrays").iterdir())
    assert len(converted(data.raw, "train", INPUT, tmp_path / "cache", poll)) == 30
    assert len(calls) == 35


def test_nothing_is_written_beside_the_pictures(tmp_path, pics):
    before = sorted(tmp_path.joinpath("pics").rglob("*"))
    converted(opened(tmp_path).raw, "train", INPUT, tmp_path / "cache")
    assert sorted(pics.rglob("*")) == before


@pytest.mark.parametrize("test", ["val", "valid", "test"])
def test_val_is_the_test_part_and_validation_is_cut_from_train(tmp_path, test):
    for part, count in (("train", 20), (test, 5)):
        for colour, name in enumerate("ab"):
            pictures(tmp_path / "pics" / part / name, count, colour=colour)
    data = opened(tmp_path)
    assert data.sizes() == {"val": 4, "test": 10, "train": 36}
    assert all(data.rows("test").name(row).startswith(f"{test}/") for row in range(10))


def test_train_val_and_test_are_taken_as_they_are(tmp_path):
    for part, count in (("train", 9), ("val", 4), ("test", 5)):
        for name in "ab":
            pictures(tmp_path / "pics" / part / name, count)
    data = opened(tmp_path)
    assert data.sizes() == {"train": 18, "val": 8, "test": 10}
    assert data.key("train", labelled=True, seed=0)["split"] == {}


def test_moving_a_folder_changes_nothing(tmp_path, pics):
    before = opened(tmp_path)
    shutil.move(pics, tmp_path / "elsewhere")
    after = opened(tmp_path, tmp_path / "elsewhere")
    assert before.key("train", labelled=True, seed=0) == after.key("train", labelled=True, seed=0)
    assert before.rows("val").index.tolist() == after.rows("val").index.tolist()


def test_another_byte_or_label_is_another_fingerprint(tmp_path, pics):
    before = opened(tmp_path).fingerprint
    Image.new("RGB", (8, 8), (1, 2, 3)).save(pics / "a" / "000.png")
    edited = opened(tmp_path).fingerprint
    (pics / "a" / "009.png").rename(pics / "b" / "000a.png")
    moved = opened(tmp_path).fingerprint
    assert len({before, edited, moved}) == 3


def test_a_change_during_the_run_is_detected(tmp_path, pics):
    data = opened(tmp_path)
    assert data.changed(tmp_path / "cache") is None
    Image.new("RGB", (8, 8), (1, 2, 3)).save(pics / "b" / "007.png")
    assert data.changed(tmp_path / "cache") == pics / "b" / "007.png"


def test_copies_stay_in_one_part(tmp_path):
    for name in "ab":
        pictures(tmp_path / "pics" / name, 12)
        for picture in list((tmp_path / "pics" / name).iterdir()):
            shutil.copy(picture, picture.with_name(f"z copy of {picture.name}"))
    data = opened(tmp_path, val_fraction=0.25, test_fraction=0.25)
    for part in ("train", "val", "test"):
        rows = data.rows(part)
        names = [rows.name(row).replace("z copy of ", "") for row in range(len(rows.index))]
        assert all(names.count(name) == 2 for name in names)


def test_other_files_and_hidden_ones_are_ignored(tmp_path, pics):
    (pics / "a" / "notes.txt").write_text("x")
    (pics / "top.png").write_bytes((pics / "a" / "000.png").read_bytes())
    pictures(pics / ".hidden", 3)
    (pics / "a" / ".DS_Store").write_text("x")
    raw = opened(tmp_path).raw
    assert len(raw.parts["train"].labels) == 30
    assert raw.ignored == ("top.png", "a/notes.txt")


def test_a_loop_of_links_ends(tmp_path, pics):
    (pics / "a" / "loop").symlink_to(pics, target_is_directory=True)
    assert len(opened(tmp_path).raw.parts["train"].labels) == 30


def test_every_empty_class_is_reported(tmp_path, pics):
    (pics / "dent").mkdir()
    (pics / "e").mkdir()
    with pytest.raises(DataError) as error:
        opened(tmp_path)
    assert lines(error) == [f"{pics}/{name}/: empty class, no picture in it" for name in ("dent", "e")]
    assert error.value.code == 4


def test_a_class_that_train_does_not_have(tmp_path):
    for name in ("train/a", "train/b", "test/a", "test/c"):
        pictures(tmp_path / "pics" / name, 5)
    with pytest.raises(DataError) as error:
        opened(tmp_path)
    assert lines(error) == [f"{tmp_path}/pics/test/c/000.png: label c is not in train; 4 more"]


def test_no_class_folders(tmp_path):
    pictures(tmp_path / "pics", 3)
    with pytest.raises(DataError) as error:
        opened(tmp_path)
    assert lines(error) == [f"data={tmp_path}/pics: no class folders; 3 pictures lie directly in it"]


def test_one_class_and_no_folder(tmp_path):
    pictures(tmp_path / "pics" / "a", 3)
    with pytest.raises(DataError) as error:
        opened(tmp_path)
    assert lines(error) == [f"data={tmp_path}/pics: only 1 class, a; a classifier needs 2 or more"]
    with pytest.raises(DataError) as error:
        opened(tmp_path, tmp_path / "nowhere")
    assert lines(error) == [f"data={tmp_path}/nowhere: no such folder"]


def test_too_few_pictures_for_a_test_part(tmp_path):
    for name in "ab":
        pictures(tmp_path / "pics" / name, 1)
    with pytest.raises(DataError, match="no rows in its test part"):
        opened(tmp_path)


def test_too_many_shots(tmp_path, pics):
    with pytest.raises(DataError) as error:
        opened(tmp_path, shots=50)
    assert lines(error) == ["data.shots=50: class a has 8 labels to learn from; allowed 1 to 8"]


def test_bad_pictures_stop_the_run_before_training(tmp_path, pics):
    for name in ("a/001.png", "b/003.png"):
        (pics / name).write_bytes((pics / name).read_bytes()[:45])
    data = opened(tmp_path)
    with pytest.raises(DataError) as error:
        converted(data.raw, "train", INPUT, tmp_path / "cache")
    (line,) = lines(error)
    assert line.startswith(f"{pics}/a/001.png: PNG ends at byte 45 of ")
    assert line.endswith("; 1 more")
    assert not list((tmp_path / "cache" / "arrays").iterdir())


# tables
def table(tmp_path, text: str) -> Path:
    (tmp_path / "rows.csv").write_text(text)
    return tmp_path / "rows.csv"


def test_a_table_gives_the_same_as_the_folder(tmp_path, pics):
    rows = [f"pics/{path.relative_to(pics)},{path.parent.name}" for path in sorted(pics.rglob("*.png"))]
    ours = opened(tmp_path, table(tmp_path, "path,label\n" + "\n".join(rows) + "\n"), family="csv")
    theirs = opened(tmp_path)
    assert ours.fingerprint == theirs.fingerprint
    assert ours.rows("test").index.tolist() == theirs.rows("test").index.tolist()
    assert ours.rows("test").name(0) == "pics/" + theirs.rows("test").name(0)


def test_the_column_part_determines_parts(tmp_path, pics):
    parts = ["train", "test", "", "val"]
    files = sorted(pics.rglob("*.png"))
    rows = [f"{path},{path.parent.name},{parts[i % 4]}" for i, path in enumerate(files)]
    data = opened(tmp_path, table(tmp_path, "path,label,part\n" + "\n".join(rows)), family="csv")
    assert data.sizes() == {"train": 15, "val": 7, "test": 8}
    assert data.note == "30 of 30 paths point outside the table's folder"


def test_whole_numbers_are_sorted_as_numbers(tmp_path, pics):
    rows = [f"pics/b/{n:03}.png,{n % 11}" for n in range(20)] + [f"pics/a/{n:03}.png,{n}" for n in range(10)]
    data = opened(tmp_path, table(tmp_path, "path,label\n" + "\n".join(rows)), family="csv", test_fraction=0.4)
    assert data.classes == tuple(str(n) for n in range(11))


def test_all_bad_rows_are_reported_with_their_number(tmp_path, pics):
    text = "path,label,part\npics/a/000.png,a,train\npics/gone.png,a,train\n,b,train\npics/b/000.png,,test\n"
    path = table(tmp_path, text + "pics/b/001.png,b,trian\npics,b,train\npics/b/002.png,b,test\n")
    with pytest.raises(DataError) as error:
        opened(tmp_path, path, family="csv")
    assert lines(error) == [
        f"{path} row 3: pics/gone.png: no such file",
        f"{path} row 4: no path",
        f"{path} row 5: no label for pics/b/000.png",
        f"{path} row 6: part trian; allowed train, val, test; nearest: train",
        f"{path} row 7: pics: no such file",
        "pics/b/002.png: label b is not in train",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", "is empty"),
        ("file,label\nx,y\n", "row 1: no column path; columns: file, label"),
        ("path;label\nx;y\n", "row 1: no column path; columns: path;label; nearest: path;label"),
        ("path,label\n", "0 rows in its train part"),
        ("path,label,part\npics/a/000.png,a,test\n", "0 rows in its train part"),
        ('path,label\n"x', "not readable as CSV in UTF-8: unexpected end of data"),
    ],
)
def test_invalid_tables(tmp_path, pics, text, line):
    path = table(tmp_path, text)
    with pytest.raises(DataError) as error:
        opened(tmp_path, path, family="csv")
    assert lines(error) == [f"{path}: {line}"]


def test_a_table_in_another_encoding_or_absent(tmp_path):
    (tmp_path / "rows.csv").write_bytes("path,label\nx,é\n".encode("latin-1"))
    with pytest.raises(DataError, match="not readable as CSV in UTF-8"):
        opened(tmp_path, tmp_path / "rows.csv", family="csv")
    with pytest.raises(DataError, match=r"data=.*/no\.csv: no such file"):
        opened(tmp_path, tmp_path / "no.csv", family="csv")


def test_a_byte_order_mark_and_windows_lines_do_no_harm(tmp_path, pics):
    rows = [f"pics/{path.relative_to(pics)},{path.parent.name}" for path in sorted(pics.rglob("*.png"))]
    (tmp_path / "rows.csv").write_bytes("\r\n".join(["path,label", *rows]).encode("utf-8-sig"))
    assert opened(tmp_path, tmp_path / "rows.csv", family="csv").fingerprint == opened(tmp_path).fingerprint


# fingerprints
def test_hashes_are_cached_once_files_are_old_enough(tmp_path, pics, monkeypatch):
    import os

    from transfer_cli.data import fingerprints

    for path in pics.rglob("*.png"):
        os.utime(path, ns=(10**18, 10**18))
    first = opened(tmp_path).fingerprint
    monkeypatch.setattr(fingerprints, "file_digest", lambda *a: pytest.fail("hashed again"))
    assert opened(tmp_path).fingerprint == first


def test_a_file_just_written_is_not_trusted_yet(tmp_path, pics):
    from transfer_cli.data import cache

    files = sorted(pics.rglob("*.png"))
    cache.digests(files, tmp_path / "cache")
    (book,) = (tmp_path / "cache" / "fingerprints").iterdir()
    assert book.read_text() == "{}"


def test_hashes_work_without_a_writable_cache(tmp_path, pics):
    from transfer_cli.data.fingerprints import digests

    (tmp_path / "file").write_text("no folder")
    files = sorted(pics.rglob("*.png"))
    assert digests(files, tmp_path / "file") == digests(files, tmp_path / "cache")


def test_a_full_disk_is_a_resource_error_and_leaves_nothing(tmp_path, pics, monkeypatch):
    import errno
    import os

    from transfer_cli.errors import ResourceError

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    data = opened(tmp_path)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ResourceError, match="No space left on device"):
        converted(data.raw, "train", INPUT, tmp_path / "cache")
    assert not list((tmp_path / "cache" / "arrays").iterdir())
