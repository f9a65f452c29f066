"""CoNLL files: dialects, wrong lines, parts by file names, and the two named data sets."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer_cli.data.formats.conll import read_conll
from transfer_cli.data.open import describe
from transfer_cli.errors import ConfigError, DataError
from transfer_cli.metrics.spans import as_iob2, spans

IOB2 = "Ann\tB-PER\nLee\tI-PER\nBob\tB-PER\nin\tO\nOslo\tB-LOC\n\nHi\tO\n"
WANTED = [["B-PER", "I-PER", "B-PER", "O", "B-LOC"], ["O"]]


def read(text: str, tag_column: int | None = None) -> Any:
    return read_conll(Path("a.conll"), text, tag_column)


def opened(path: Path, **more: Any) -> Any:
    return describe({"family": "conll", "path": str(path), **more}, cache=path.parent / "cache")


def written(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return folder


# the format
@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("IOB2", IOB2),
        ("IOB2", IOB2.replace("\t", " ")),
        ("IOB2", IOB2.replace("\t", "   ")),
        ("IOB2", f"-DOCSTART-\tO\n\n{IOB2}"),
        ("IOB2", IOB2.replace("\n\n", "\n \t\n\n\n") + "\n\n"),
        ("IOB1", "Ann I-PER\nLee I-PER\nBob B-PER\nin O\nOslo I-LOC\n\nHi O\n"),
        ("BIOES", "Ann B-PER\nLee E-PER\nBob S-PER\nin O\nOslo S-LOC\n\nHi O"),
        ("IOB2", "Ann NNP x B-PER\nLee NNP x I-PER\nBob NNP x B-PER\nin IN x O\nOslo NNP x B-LOC\n\nHi UH x O"),
        ("IOB2, but 1 begin with I-", IOB2.replace("B-LOC", "I-LOC")),
    ],
)
def test_every_dialect_says_the_same(dialect: str, text: str) -> None:
    tagged = read(text)
    assert [sentence.words for sentence in tagged.sentences] == [["Ann", "Lee", "Bob", "in", "Oslo"], ["Hi"]]
    assert [sentence.tags for sentence in tagged.sentences] == WANTED
    assert tagged.dialect == dialect


def test_a_column_may_be_chosen() -> None:
    text = "Ann B-PER x\nHi O x\n"
    assert read(text, 1).sentences[0].tags == ["B-PER", "O"]
    with pytest.raises(DataError, match=r"a\.conll line 1: tag 'x': want O, or B-, I-, E- or S- and a type"):
        read(text)
    with pytest.raises(DataError, match=r"line 1: 3 columns, and data\.tag_column=3 counts from 0; 1 more lines"):
        read(text, 3)


def test_a_space_inside_a_word_becomes_a_no_break_space() -> None:
    sentence = read("New York\tB-LOC\nis\tO\n").sentences[0]
    assert sentence.words == ["New\u00a0York", "is"]
    assert " ".join(sentence.words).split(" ") == sentence.words


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("Ann\tB-PER\nLee\n", "line 2: 1 columns, want 2 as line 1 has"),
        ("Ann\tx\tB-PER\nLee\tI-PER\nBob\tO\n", "line 2: 2 columns, want 3 as line 1 has; 1 more lines are wrong"),
        ("Ann\n", "line 1: 1 column, want a word and a tag"),
        ("\tO\n", "line 1: no word before the tag"),
        ("\nAnn\tPER\n", "line 2: tag 'PER': want O"),
        ("Ann\tB-\n", "line 1: tag 'B-': want O"),
        ("-DOCSTART- O\n\n", "0 sentences"),
    ],
)
def test_a_wrong_line_is_named(text: str, wrong: str) -> None:
    with pytest.raises(DataError, match=rf"a\.conll:? ?{wrong}"):
        read(text)


TAGS = st.lists(st.sampled_from(["O", *(f"{p}-{t}" for p in "BIES" for t in ("x", "y"))]), min_size=1, max_size=6)


@settings(deadline=None)
@given(st.lists(TAGS, min_size=1, max_size=5))
def test_entities_survive_any_dialect(sentences: list[list[str]]) -> None:
    text = "\n\n".join("\n".join(f"w{at} {tag}" for at, tag in enumerate(tags)) for tags in sentences)
    tagged = read(text).sentences
    assert [sentence.tags for sentence in tagged] == [as_iob2(tags) for tags in sentences]
    assert [spans(sentence.tags) for sentence in tagged] == [spans(tags) for tags in sentences]


# the data set
def test_a_folder_has_its_parts_by_name(tmp_path: Path) -> None:
    folder = written(tmp_path / "d", eng_train=IOB2, eng_testa="Eve\tB-ORG\n", eng_testb="Hi\tO\n", README="...")
    data = opened(folder)
    assert data.sizes() == {"train": 2, "val": 1, "test": 1}
    raw = data.raw
    assert (raw.kind, raw.task, raw.ignored) == ("texts", "tag", ("README",))
    assert data.names == ("O", "B-LOC", "I-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER")
    rows = raw.parts["train"]
    assert rows.read() == ["Ann Lee Bob in Oslo", "Hi"]
    assert [tags.tolist() for tags in rows.targets] == [[5, 6, 5, 0, 1], [0]]
    assert rows.targets[0].dtype == np.int64
    assert rows.names(1) == "eng.train line 7"


def test_one_file_is_cut_and_may_be_compressed(tmp_path: Path) -> None:
    path = tmp_path / "words.conll.gz"
    path.write_bytes(gzip.compress(("\ufeff" + "".join(f"w{i}\tB-x\n\n" for i in range(50))).encode()))
    data = opened(path)
    assert data.sizes() == {"val": 5, "test": 5, "train": 40}
    rows = data.rows("test")
    assert len(rows.targets) == 5
    assert "w0" in data.raw.parts["train"].read()


def test_what_is_no_such_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder or file"):
        opened(tmp_path / "absent")
    with pytest.raises(DataError, match=r"no file whose name says train; files: eng\.test"):
        opened(written(tmp_path / "a", eng_test=IOB2))
    with pytest.raises(DataError, match=r"2 files are its train part: a\.train, b\.train"):
        opened(written(tmp_path / "b", a_train=IOB2, b_train=IOB2))
    with pytest.raises(ConfigError, match=r"data\.path: has no value; wants a CoNLL file or a folder of them"):
        describe({"family": "conll"}, cache=tmp_path)
    with pytest.raises(DataError, match="wants the folder text/nowhere with train, dev and test files"):
        describe({"family": "conll", "name": "nowhere"}, cache=tmp_path)
    with pytest.raises(DataError, match=r"data\.classes=\['O'\]: .* has no classes; it has O, B-LOC"):
        opened(written(tmp_path / "c", train_txt=IOB2, test_txt=IOB2), classes=["O"])
    with pytest.raises(DataError, match=r"data\.label_noise=0\.1: the rows have no classes"):
        opened(tmp_path / "c", label_noise=0.1)


def test_a_named_folder_of_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "text").mkdir()
    written(tmp_path / "text" / "mine", train_tsv=IOB2, devel_tsv=IOB2, test_tsv=IOB2)
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path))
    data = describe({"family": "conll", "name": "mine"}, cache=tmp_path / "cache")
    assert data is not None
    assert (data.title, data.sizes()) == ("mine", {"train": 2, "val": 2, "test": 2})


COUNTS = {
    "wnut17": ({"train": 3394, "val": 1009, "test": 1287}, {"train": 1975, "val": 836, "test": 1079}),
    "ncbi_disease": ({"train": 5432, "val": 923, "test": 940}, {"train": 5145, "val": 787, "test": 960}),
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_named_sets_have_the_published_counts(name: str, tmp_path: Path) -> None:
    try:
        data = describe({"family": "conll", "name": name}, cache=tmp_path)
    except DataError:
        pytest.skip("not in the data folder")
    assert data is not None
    sizes, entities = COUNTS[name]
    assert data.sizes() == sizes
    for part, rows in data.raw.parts.items():
        tags = [[data.names[tag] for tag in sentence] for sentence in rows.targets or ()]
        assert sum(len(spans(sentence)) for sentence in tags) == entities[part], part
        assert all(len(text.split(" ")) == len(sentence) for text, sentence in zip(rows.read(), tags, strict=True))
