"""transfer data check: every kind of finding, the faces of the answer, the table of good pictures."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transfer_cli.cli import data as command
from transfer_cli.cli.options import Options
from transfer_cli.data.check import check
from transfer_cli.data.describe import describe, scan
from transfer_cli.errors import ConfigError


@pytest.fixture
def pics(tmp_path):
    """As a user would have them: odd in every way that is told."""
    rng = np.random.default_rng(0)
    for name, count in (("Crack", 30), ("crack ", 6), ("stain", 14)):
        folder = tmp_path / "pics" / name
        folder.mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(folder / f"{number:02}.png")
    crack, stain = tmp_path / "pics" / "Crack", tmp_path / "pics" / "stain"
    for name in ("03.png", "04.png"):
        (crack / name).write_bytes((crack / name).read_bytes()[:300])
    shutil.copy(stain / "01.png", stain / "01 (2).png")
    shutil.copy(stain / "02.png", crack / "x7.png")
    (tmp_path / "pics" / "notes.txt").write_text("x")
    return tmp_path / "pics"


def findings(path: Path, tmp_path: Path) -> list[tuple[str, ...]]:
    found = check(scan({"family": "folder", "path": str(path)}, tmp_path / "cache"))
    return [(f.level, f.kind, f.label, f.file, f.detail) for f in found]


def test_every_finding(tmp_path, pics):
    size = (pics / "Crack" / "00.png").stat().st_size - 12
    found = findings(pics, tmp_path)
    assert found[0][:4] == ("FAIL", "unreadable", "Crack", "Crack/03.png")
    assert found[0][4].startswith("PNG ends at byte 300 of 1,")
    assert abs(int(found[0][4].split()[-1].replace(",", "")) - size) < 40
    assert found[1][3] == "Crack/04.png"
    assert found[2:] == [
        ("warn", "alike names", "Crack", "", '"Crack", "crack "'),
        ("warn", "label clash", "stain", "stain/02.png", "same bytes as Crack/x7.png (Crack)"),
        ("warn", "copies", "stain", "stain/01.png", "same bytes as stain/01 (2).png; kept in one part"),
        ("note", "uneven", "", "", "6 to 31 a class"),
        ("note", "left out", "", "notes.txt", "1 .txt"),
    ]


def test_an_empty_class_does_not_hide_the_rest(tmp_path, pics):
    (pics / "dent").mkdir()
    assert [finding[:2] for finding in findings(pics, tmp_path)][:3] == [
        ("FAIL", "empty class"),
        ("FAIL", "unreadable"),
        ("FAIL", "unreadable"),
    ]


def test_parts_that_share_or_lack_pictures(tmp_path):
    rng = np.random.default_rng(1)
    for name, count in (("train/a", 3), ("train/b", 3), ("test/a", 2)):
        (tmp_path / "pics" / name).mkdir(parents=True)
        for number in range(count):
            image = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
            image.save(tmp_path / "pics" / name / f"{number}.png")
    shutil.copy(tmp_path / "pics/train/a/1.png", tmp_path / "pics/test/a/9.png")
    assert findings(tmp_path / "pics", tmp_path) == [
        ("warn", "in two parts", "a", "test/a/9.png", "same bytes as train/a/1.png (train and test)"),
        ("warn", "class not in test", "b", "", "no picture of it in the test part"),
        ("note", "uneven", "", "", "3 to 6 a class"),
    ]


def test_a_sound_set_has_nothing_to_tell(tmp_path):
    assert check(scan({"family": "digits"}, tmp_path)) == []


def given(tmp_path, *args, **options) -> Options:
    return Options(command="data", args=("check", *args), runs=tmp_path / "runs", color="never", **options)


def run(capsys, tmp_path, *args, **options) -> tuple[int, str, str]:
    code = command.main(given(tmp_path, *map(str, args), **options))
    out, err = capsys.readouterr()
    return code, out, err


def test_the_screen(capsys, tmp_path, pics):
    code, out, err = run(capsys, tmp_path, pics, format="table")
    assert code == 4
    words = " ".join(out.split())
    assert "folders as classes, no train/val/test split; 52 pictures, 3 classes, 1 other file left out" in words
    assert "FAIL 2 unreadable Crack/03.png PNG ends at byte 300 of" in words
    assert "; +1" in words
    assert "a run would stop here: 2 FAIL" in words
    assert out.splitlines()[-1] == f"next  transfer data check {pics} -o pics.csv"
    assert err == "reading 52 pictures\n"


def test_a_pipe_gets_every_finding_as_tsv(capsys, tmp_path, pics):
    code, out, _ = run(capsys, tmp_path, pics)
    rows = [line.split("\t") for line in out.splitlines()]
    assert rows[0] == ["level", "kind", "class", "file", "detail"]
    assert [row[0] for row in rows[1:]] == ["FAIL", "FAIL", "warn", "warn", "warn", "note", "note"]
    assert code == 4


def test_json(capsys, tmp_path, pics):
    _, out, _ = run(capsys, tmp_path, pics, json=True)
    document: Any = json.loads(out)
    assert document["schema"] == "data-check/1"
    assert document["rows"][1]["file"] == "Crack/04.png"


def test_the_table_of_good_pictures_can_be_used(capsys, tmp_path, pics):
    table = tmp_path / "good.csv"
    code, out, _ = run(capsys, tmp_path, pics, format="table", out=table)
    assert code == 4
    assert "50 pictures → " in " ".join(out.split())
    rows = list(csv.DictReader(table.open()))
    assert rows[0] == {"path": "pics/Crack/00.png", "label": "Crack"}
    assert not {"pics/Crack/03.png", "pics/Crack/04.png"} & {row["path"] for row in rows}
    data = describe({"family": "csv", "path": str(table)}, cache=tmp_path / "cache")
    assert data is not None
    assert sum(data.sizes().values()) == 50
    assert run(capsys, tmp_path, table)[0] == 0


def test_parts_are_kept_in_the_table(capsys, tmp_path):
    for part, count in (("train", 4), ("val", 3)):
        for number, name in enumerate("ab"):
            (tmp_path / "pics" / part / name).mkdir(parents=True)
            for shade in range(count):
                image = Image.new("L", (5, 5), 50 * number + shade + 20 * count)
                image.save(tmp_path / "pics" / part / name / f"{shade}.png")
    run(capsys, tmp_path, tmp_path / "pics", out=tmp_path / "good.csv")
    ours = describe({"family": "csv", "path": str(tmp_path / "good.csv")}, cache=tmp_path / "cache")
    theirs = describe({"family": "folder", "path": str(tmp_path / "pics")}, cache=tmp_path / "cache")
    assert ours is not None
    assert theirs is not None
    assert ours.fingerprint == theirs.fingerprint
    assert ours.sizes() == theirs.sizes() == {"train": 6, "val": 2, "test": 6}


def test_words_are_obeyed(capsys, tmp_path):
    code, out, _ = run(capsys, tmp_path, "digits", words=("data.classes=[1,2]",), format="table")
    assert code == 0
    assert out.endswith("next  transfer run data=digits 'data.classes=[1,2]'\n")
    assert "as data: 2 classes, train 217, val 71, test 71, cut by seed 0" in out
    code, out, _ = run(capsys, tmp_path, "digits", words=("data.shots=999",), format="table")
    assert "a run would stop here: data.shots=999: class 8 has 104 labels" in " ".join(out.split())


@pytest.mark.parametrize(
    ("args", "options", "text"),
    [
        ((), {}, "data=check: the command is: transfer data check DATA"),
        (("a", "b"), {}, "data=check a b: the command is"),
        (("digits",), {"out": Path("x.yaml")}, r"-o=x\.yaml: the table of good pictures is a \.csv file"),
        (("digits",), {"out": Path(__file__).with_suffix(".csv")}, None),
    ],
)
def test_usage(tmp_path, args, options, text):
    if text is None:
        existing = tmp_path / "mine.csv"
        existing.write_text("mine")
        options, text = {"out": existing}, r"mine\.csv: exists already; choose another name"
    with pytest.raises(ConfigError, match=text):
        command.main(given(tmp_path, *args, **options))
