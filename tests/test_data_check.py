"""transfer data check: every kind of finding, the output formats, and the YAML with corrections."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transfer_cli.cli import data as command
from transfer_cli.cli.options import Options
from transfer_cli.config.choices import _own_data
from transfer_cli.data.contracts import Raw, RawPart
from transfer_cli.data.open import describe, scan
from transfer_cli.data.quality.check import Checked, check
from transfer_cli.errors import ConfigError, DataError
from transfer_cli.kinds._kind import kind_named


@pytest.fixture
def pics(tmp_path):
    """A data set of a user with every kind of finding."""
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
    return told({"family": "folder", "path": str(path)}, tmp_path)


def checked(raw: Raw) -> Checked:
    return check(raw, kind_named(raw.kind))


def told(node: dict[str, Any], tmp_path: Path) -> list[tuple[str, ...]]:
    found = checked(scan(node, tmp_path / "cache")).findings
    return [(f.level, f.kind, f.label, f.file, f.detail) for f in found]


def test_every_finding(tmp_path, pics):
    size = (pics / "Crack" / "00.png").stat().st_size - 12
    found = findings(pics, tmp_path)
    assert found[0][:4] == ("FAIL", "unreadable", "Crack", "Crack/03.png")
    assert found[0][4].startswith("PNG ends at byte 300 of 1,")
    assert abs(int(found[0][4].split()[-1].replace(",", "")) - size) < 40
    assert found[1][3] == "Crack/04.png"
    assert found[2:] == [
        ("warn", "2 names, one class?", "crack ", "", '"Crack" (31), "crack " (6)'),
        ("warn", "1 picture, 2 labels", "stain", "stain/02.png", "= Crack/x7.png (Crack)"),
        ("warn", "copies", "stain", "stain/01.png", "= stain/01 (2).png; kept in one part"),
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
        ("warn", "in two parts", "a", "test/a/9.png", "= train/a/1.png (train and test)"),
        ("warn", "class not in test", "b", "", "no picture of it in the test part"),
        ("note", "uneven", "", "", "3 to 6 a class"),
    ]


def soft(seed: int) -> Image.Image:
    """Pictures that differ from each other like photographs."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(coarse).resize((48, 48), Image.Resampling.BICUBIC)


def parts(root: Path) -> Path:
    """train and test of two classes; pictures 0, 1 and 2 of train/a come again, changed a little."""
    for number, name in enumerate(("train/a", "train/b", "test/a", "test/b")):
        (root / name).mkdir(parents=True)
        for i in range(4):
            soft(10 * number + i).save(root / name / f"{i}.png")
    soft(0).resize((30, 30)).save(root / "train" / "a" / "small.png")
    soft(1).save(root / "test" / "a" / "leak.jpg", quality=60)
    soft(2).save(root / "train" / "b" / "clash.jpg", quality=60)
    return root


def test_near_copies_are_reported_like_copies(tmp_path):
    assert [row for row in findings(parts(tmp_path / "pics"), tmp_path) if row[0] == "warn"] == [
        ("warn", "near-copies", "a", "train/a/small.png", "~ train/a/0.png; may be cut apart"),
        ("warn", "nearly in two parts", "a", "test/a/leak.jpg", "~ train/a/1.png (train and test)"),
        ("warn", "near-copies, 2 labels", "b", "train/b/clash.jpg", "~ train/a/2.png (a)"),
    ]


def test_texts_are_compared_by_their_words(tmp_path):
    rows = [
        "Good  fun,p",
        "good fun,p",
        "Dull,n",
        "Dull,n",
        "It was GOOD,p",
        "it was good,n",
        "other,n",
        "ｏｔｈｅｒ,n",
    ]
    path = tmp_path / "t.csv"
    path.write_text("text,label\n" + "\n".join(rows), encoding="utf-8")
    assert told({"family": "text_table", "path": str(path)}, tmp_path) == [
        ("warn", "near-copies", "p", "t.csv row 3", '~ t.csv row 2 "good fun"; may be cut apart'),
        ("warn", "copies", "n", "t.csv row 5", '= t.csv row 4 "Dull"; may be cut apart'),
        ("warn", "near-copies, 2 labels", "n", "t.csv row 7", '~ t.csv row 6 "it was good" (p)'),
        ("warn", "near-copies", "n", "t.csv row 9", '~ t.csv row 8 "ｏｔｈｅｒ"; may be cut apart'),
        ("note", "columns", "", "", "text, label; read: text, label"),
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_columns_of_a_table(tmp_path, kind):
    rows = [
        {"id": f"x{i}", "stars": 4 + i % 2 if i < 25 else 1, "text": f"text {i}", "label": "np"[i < 25], "note": None}
        for i in range(60)
    ]
    rows[3]["stars"] = None
    path = tmp_path / f"t.{kind}"
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        cells = [",".join("" if value is None else str(value) for value in row.values()) for row in rows]
        path.write_text("\n".join([",".join(rows[0]), *cells]))
    assert told({"family": "text_table", "path": str(path)}, tmp_path) == [
        ("note", "columns", "", "", "id, stars, text, label, note; read: text, label"),
        ("note", "missing cells", "", "", "column stars: 1 of 60"),
        ("note", "missing cells", "", "", "column note: 60 of 60"),
        ("note", "telling column", "", "", "column stars tells 98 % of the labels; it is not read"),
    ]
    node = {"family": "text_table", "path": str(path), "text": "id"}
    assert "telling column" not in [row[1] for row in told(node, tmp_path) if row[0] == "warn"]


def test_a_text_that_is_the_label_is_a_warning(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("".join(f"{'yes' if i % 3 else 'no'}\t{int(i % 3 > 0)}\n" for i in range(30)))
    node = {"family": "text_table", "path": str(path), "text": "0", "label": "1", "header": False}
    found = told(node, tmp_path)
    assert ("warn", "telling column", "", "", "column 0 tells 100 % of the labels") in found
    assert [row[1] for row in found].count("telling column") == 1


def test_arrays_and_vectors_have_copies_too(tmp_path):
    raw = scan({"family": "digits"}, tmp_path)
    rows = raw.parts["train"]
    pixels = np.concatenate([rows.read()[:50], rows.read()[7:8]])
    twice = replace(raw, parts={"train": replace(rows, labels=rows.labels[[*range(50), 7]], rows=lambda: pixels)})
    (copy,) = [f for f in checked(twice).findings if f.kind == "copies"]
    assert copy.detail == f"= {rows.names(7)}; may be cut apart"
    vectors = pixels.reshape(51, -1).astype(np.float32)
    bare = RawPart(twice.parts["train"].labels, rows.names, rows=lambda: vectors)
    (copy,) = [f for f in checked(replace(twice, kind="vectors", parts={"train": bare})).findings if f.kind == "copies"]
    assert copy.file == rows.names(50)


def test_a_sound_set_has_nothing_to_tell(tmp_path):
    assert checked(scan({"family": "digits"}, tmp_path)) == ([], {}, [])


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
    assert out.splitlines()[-1] == f"next  transfer data check {pics} -o pics.yaml"
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


def described(path: Path, tmp_path: Path, **view: Any) -> Any:
    """The configuration that a run has for `data=path`."""
    option, values = _own_data("data", str(path))
    return describe({"family": option, **values, **view}, cache=tmp_path / "cache")


def kept(data: Any, part: str) -> dict[str, str]:
    rows = data.rows(part)
    return {rows.name(i): data.classes[rows.labels[i]] for i in range(len(rows.labels))}


def test_the_yaml_corrects_all_findings(capsys, tmp_path, pics):
    (pics / "dent").mkdir()
    before = {path: path.read_bytes() for path in sorted(pics.rglob("*")) if path.is_file()}
    out = tmp_path / "elsewhere" / "good.yaml"
    out.parent.mkdir()
    code, screen, _ = run(capsys, tmp_path, pics, format="table", out=out)
    assert code == 4
    assert "1 renamed, 5 left out, 0 groups kept together →" in " ".join(screen.split())
    assert screen.splitlines()[-1] == f"next  transfer run data={out} strategy=scratch"
    assert out.read_text().splitlines()[1:] == [
        'family: "folder"',
        'path: "../pics"',
        "rename:  # names that mean one class",
        '  "crack ": "Crack"',
        "skip:",
        "# empty class",
        '- "dent/"',
        "# unreadable",
        '- "Crack/03.png"',
        '- "Crack/04.png"',
        "# of one content, under two labels",
        '- "Crack/x7.png"',
        '- "stain/02.png"',
    ]
    data = described(out, tmp_path)
    assert data.classes == ("Crack", "stain")
    assert data.raw.note == ""
    assert sum(data.sizes().values()) == 36 + 14 + 2 - 5 + 1
    code, screen, _ = run(capsys, tmp_path, out, format="table")
    assert code == 0
    assert [line.split()[:2] for line in screen.splitlines() if line[:4] in ("FAIL", "warn")] == [["warn", "1"]]
    assert before == {path: path.read_bytes() for path in sorted(pics.rglob("*")) if path.is_file()}


def test_the_yaml_keeps_test_as_it_is_and_copies_in_one_part(capsys, tmp_path):
    root, out = parts(tmp_path / "pics"), tmp_path / "pics.yaml"
    run(capsys, tmp_path, root, out=out)
    assert out.read_text().splitlines()[3:] == [
        "skip:",
        "# copies of rows of a later part",
        '- "train/a/1.png"',
        "# of one content, under two labels",
        '- "train/a/2.png"',
        '- "train/b/clash.jpg"',
        "groups:  # copies, which a cut keeps in one part",
        '- ["train/a/0.png", "train/a/small.png"]',
    ]
    whole, mended = described(root, tmp_path), described(out, tmp_path)
    assert kept(whole, "test") == kept(mended, "test")
    assert whole.fingerprint != mended.fingerprint
    for seed in range(20):
        train = kept(described(out, tmp_path, split_seed=seed, val_fraction=0.3), "train")
        assert ("train/a/0.png" in train) == ("train/a/small.png" in train)
    seeds = [kept(described(root, tmp_path, split_seed=seed, val_fraction=0.3), "train") for seed in range(20)]
    assert any(("train/a/0.png" in train) != ("train/a/small.png" in train) for train in seeds)


def test_a_yaml_of_texts(capsys, tmp_path):
    path, out = tmp_path / "t.jsonl", tmp_path / "t.yaml"
    texts = [*(f"text {i}" for i in range(20)), "Text  3", "text 4", "", "text 30"]
    labels = [*("ab"[i % 2] for i in range(20)), "b", "b", "a", "A"]
    path.write_text("\n".join(json.dumps({"text": t, "label": c}) for t, c in zip(texts, labels, strict=True)))
    assert run(capsys, tmp_path, path, out=out)[0] == 4
    assert out.read_text().splitlines()[1:] == [
        'family: "text_table"',
        'path: "t.jsonl"',
        'default_model: "embedding_bag"',
        'default_source: "none"',
        "rename:  # names that mean one class",
        '  "A": "a"',
        "skip:",
        "# no text",
        '- "t.jsonl row 23"',
        "# of one content, under two labels",
        '- "t.jsonl row 5"',
        '- "t.jsonl row 22"',
        "groups:  # copies, which a cut keeps in one part",
        '- ["t.jsonl row 4", "t.jsonl row 21"]',
    ]
    data = described(out, tmp_path)
    assert data.classes == ("a", "b")
    every = kept(data, "train") | kept(data, "val") | kept(data, "test")
    assert len(every) == 24 - 3
    assert every["t.jsonl row 24"] == "a"


def test_a_second_yaml_contains_the_corrections_of_the_first(capsys, tmp_path, pics):
    run(capsys, tmp_path, pics, out=tmp_path / "one.yaml")
    shutil.copy(pics / "stain" / "05.png", pics / "Crack" / "y.png")
    run(capsys, tmp_path, tmp_path / "one.yaml", out=tmp_path / "two.yaml")
    assert described(tmp_path / "two.yaml", tmp_path).classes == ("Crack", "stain")
    skip = described(tmp_path / "two.yaml", tmp_path).view.skip
    assert skip == [
        "Crack/03.png", "Crack/04.png", "Crack/x7.png", "stain/02.png", "Crack/y.png", "stain/05.png",
    ]  # fmt: skip


def test_a_table_of_pictures_is_corrected_too(capsys, tmp_path, pics):
    table = tmp_path / "t.csv"
    rows = [f"pics/{name}/{i:02}.png,{name}" for name in ("Crack", "stain") for i in (0, 2, 5, 7, 8, 9)]
    table.write_text("path,label\n" + "\n".join([*rows, "pics/gone.png,stain", "pics/Crack/03.png,Crack"]))
    out = tmp_path / "t.yaml"
    assert run(capsys, tmp_path, table, out=out)[0] == 4
    assert [line for line in out.read_text().splitlines() if line[0] == "-"] == [
        '- "t.csv row 14"', '- "pics/Crack/03.png"',
    ]  # fmt: skip
    assert sum(described(out, tmp_path).sizes().values()) == 12


def test_names_that_yaml_cannot_contain_are_refused(capsys, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "pics" / name).mkdir(parents=True)
        for i in range(3):
            soft(10 * ord(name) + i).save(tmp_path / "pics" / name / f"{i}.png")
    (tmp_path / "pics" / "a" / "${oc.env:HOME}.png").write_text("none")
    with pytest.raises(DataError, match=r"would be read as a reference"):
        run(capsys, tmp_path, tmp_path / "pics", out=tmp_path / "x.yaml")
    (tmp_path / "pics" / "a" / "${oc.env:HOME}.png").unlink()
    (tmp_path / "pics" / "a" / "\udcff.png").write_text("none")
    with pytest.raises(DataError, match=r"no UTF-8"):
        run(capsys, tmp_path, tmp_path / "pics", out=tmp_path / "x.yaml")
    assert not (tmp_path / "x.yaml").exists()
    (tmp_path / "pics" / "a" / "\udcff.png").unlink()
    odd = "a: 'b' \"c\" # 012 \n \x1b ü 😀 \u2028.png"
    (tmp_path / "pics" / "a" / odd).write_text("none")
    run(capsys, tmp_path, tmp_path / "pics", out=tmp_path / "x.yaml")
    assert described(tmp_path / "x.yaml", tmp_path).view.skip == [f"a/{odd}"]


def test_a_hand_written_yaml(tmp_path, pics):
    def mended(text: str) -> Any:
        (tmp_path / "x.yaml").write_text("family: folder\npath: pics\n" + text)
        return described(tmp_path / "x.yaml", tmp_path)

    assert mended("skip: [nobody.png]").note == "1 name of skip is not in the data"
    with pytest.raises(DataError, match=r"data.rename=stane: .*pics has no such class; nearest: stain"):
        mended("rename: {stane: Crack}")
    with pytest.raises(DataError, match=r"data.rename=stain: needs a new name for this class"):
        mended("rename: {stain: ''}")
    with pytest.raises(ConfigError, match="anchors and aliases"):
        mended("skip: &a [x]\ngroups: [*a]")
    assert mended("rename: {stain: spot}").classes == ("Crack", "crack ", "spot")
    # names are compared, never opened
    assert "2 names of skip are" in mended("skip: [../../etc/passwd, /etc/passwd]").note


def test_a_yaml_is_read_from_anywhere(transfer, tmp_path, pics):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x.yaml").write_text("family: folder\npath: ../pics\nskip: [Crack/03.png, Crack/04.png]\n")
    words = ["strategy=scratch", "model=mlp", "trainer=tiny", "data.rename={stain: spot}"]
    told = transfer("run", "data=sub/x.yaml", *words)
    assert told.code == 0, told.err
    told = transfer("run", "data=sub/x.yaml", *words[:3], "data.skip=nope")
    assert (told.code, told.errors) == (
        2,
        ["error: data.skip=nope: list of names or null, now [Crack/03.png, Crack/04.png]"],
    )


def test_options_are_applied(capsys, tmp_path):
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
        (("digits",), {"out": Path("x.csv")}, r"-o=x\.csv: the file of repairs is a \.yaml file"),
        (("digits",), {"out": Path(__file__).with_suffix(".yaml")}, None),
    ],
)
def test_usage(tmp_path, args, options, text):
    if text is None:
        existing = tmp_path / "mine.yaml"
        existing.write_text("mine")
        options, text = {"out": existing}, r"mine\.yaml: exists already; choose another name"
    with pytest.raises(ConfigError, match=text):
        command.main(given(tmp_path, *args, **options))
