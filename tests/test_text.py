"""Texts from files to inputs of nets: passages, tables, tokenizers, padded rows and blocks."""

import gzip
import json
import platform
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from transfer_cli.data import tokenizers as tokens
from transfer_cli.data.open import describe
from transfer_cli.data.readers.text import cut_passages
from transfer_cli.engine.inference import features
from transfer_cli.engine.loader import Address, StepLoader
from transfer_cli.errors import ConfigError, DataError, StoreError
from transfer_cli.kinds.texts import TextRows, flat
from transfer_cli.task_contracts import PADDING
from transfer_cli.tasks.language import Blocks

CPU = torch.device("cpu")
STRANGE = "Hello wörld,\n\n it's 1 test — of “it”.\tNew  line 日本"
SPEC = {"tokenizer": "byte", "length": 8, "size": None, "digest": None}


def view(index: list[int]) -> SimpleNamespace:
    return SimpleNamespace(index=np.array(index), labels=np.array(index) % 2)


def table(path: Path, **settings: object) -> dict[str, object]:
    return {"family": "text_table", "path": str(path), **settings}


# plain text
@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_passages_are_the_text_and_end_with_lines(size: int) -> None:
    rng = np.random.default_rng(size)
    text = "".join("x" * int(n) + "\n" for n in rng.integers(0, 60, 200)) + "y" * 500
    passages = list(cut_passages(text, size))
    assert "".join(passages) == text
    if size == 100:
        assert all(passage.endswith("\n") for passage in passages[:-3])
        assert abs(len(text) / len(passages) - size) < 20


def test_the_embedded_text_is_this_pythons(tmp_path: Path) -> None:
    data = describe({"family": "text", "name": "topics"}, cache=tmp_path)
    assert data is not None
    passages = data.raw.parts["train"].rows()  # type: ignore[misc]
    assert passages[0].startswith(f"Python {platform.python_version()}\n")
    assert sum(map(len, passages)) > 300_000
    assert data.classes == ("text",)
    assert data.raw.task == "language"


def test_the_test_part_is_the_end_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"line {i}\n" for i in range(1000)))
    data = describe(
        {"family": "text", "path": str(tmp_path / "a.txt"), "passage": 90, "test_fraction": 0.1}, cache=tmp_path
    )
    assert data is not None
    train, test = (data.raw.parts[part].rows() for part in ("train", "test"))  # type: ignore[misc]
    assert "".join([*train, *test]) == (tmp_path / "a.txt").read_text()
    assert len(test) == round(0.1 * (len(train) + len(test)))


def test_text_in_another_encoding_is_read_or_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("grün\n".encode("latin-1") * 900)
    with pytest.raises(DataError, match=r"line 1: byte 0xfc is no utf-8"):
        describe({"family": "text", "path": str(path)}, cache=tmp_path)
    data = describe({"family": "text", "path": str(path), "encoding": "latin-1"}, cache=tmp_path)
    assert data is not None
    assert "grün" in data.raw.parts["train"].rows()[0]  # type: ignore[misc]
    with pytest.raises(DataError, match="no such encoding"):
        describe({"family": "text", "path": str(path), "encoding": "klingon"}, cache=tmp_path)
    with pytest.raises(DataError, match="no encoding of text"):
        describe({"family": "text", "path": str(path), "encoding": "hex"}, cache=tmp_path)


@pytest.mark.parametrize(("content", "told"), [(b"", "is empty"), (b" \n", "is empty"), (b"short", "two passages")])
def test_an_empty_text_is_reported(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=told):
        describe({"family": "text", "path": str(tmp_path / "a.txt")}, cache=tmp_path)


# tables
ROWS = [(f"text {i}, of “class” {i % 2}", str(i % 2)) for i in range(40)]


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "jsonl.gz", "positions", "label first"])
def test_every_layout_gives_the_same_rows(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"t.{kind.replace('positions', 'tsv').replace('label first', 'txt')}"
    settings: dict[str, object] = {}
    if kind == "csv":
        path.write_text("label,text\n" + "".join(f'{label},"{text}"\n' for text, label in ROWS))
    elif kind == "tsv":
        path.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS))
    elif kind.startswith("jsonl"):
        lines = "".join(json.dumps({"text": text, "label": int(label)}) + "\n" for text, label in ROWS).encode()
        path.write_bytes(gzip.compress(lines) if kind.endswith("gz") else lines)
    elif kind == "positions":
        path.write_text("".join(f"{text}\t{label}\n" for text, label in ROWS))
        settings = {"text": "0", "label": "1", "header": False}
    else:
        path.write_text("".join(f"{label} {text}\n" for text, label in ROWS), encoding="utf-8")
        settings = {"text": "1", "label": "0", "header": False, "separator": " ", "max_splits": 1}
    data = describe(table(path, **settings), cache=tmp_path)
    assert data is not None
    rows = data.raw.parts["train"]
    assert list(zip(rows.read(), rows.labels.tolist(), strict=True)) == [(t, int(c)) for t, c in ROWS]  # type: ignore[misc]
    assert data.classes == ("0", "1")


def test_a_column_says_the_part_and_names_name_the_classes(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    lines = [
        f"{text.replace(',', ' ')},{label},{'test' if i > 30 else 'train'}" for i, (text, label) in enumerate(ROWS)
    ]
    path.write_text("text,label,part\n" + "\n".join(lines))
    data = describe(table(path, names=["no", "yes"]), cache=tmp_path)
    assert data is not None
    assert data.classes == ("no", "yes")
    assert len(data.raw.parts["test"].labels) == 9


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("texts,label\na,b\n", "no column text; columns: texts, label; nearest: texts"),
        ("text,label\na,\nb,x\nc,y\n", "row 2: no label"),
        ("text,label\n ,x\nb,x\nc,y\n", "row 2: no text"),
        ("text,label\nb,x\nc,x\n", "only 1 class"),
        ("text,label,part\nb,x,train\nc,y,train\nd,z,test\n", "row 4: label z is not in train"),
        ("text,label,part\nb,x,trian\n", "part trian; allowed train, val, test; nearest: train"),
        ("", "is empty"),
    ],
)
def test_invalid_tables_are_reported_with_their_row(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(DataError) as error:
        describe(table(tmp_path / "t.csv"), cache=tmp_path)
    assert told in error.value.faults[0].line()


def test_a_line_that_is_not_json_is_reported(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "a", "label": 1}\n{"text": \n')
    with pytest.raises(DataError, match="row 2: no JSON"):
        describe(table(tmp_path / "t.jsonl"), cache=tmp_path)


def test_a_domain_stays_inside_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path))
    node = {"family": "text_table", "name": "x", "train": "{domain}.csv"}
    with pytest.raises(ConfigError, match="wants the name of a domain"):
        describe(node | {"domain": "../secret"}, cache=tmp_path)


# tokenizers
@pytest.mark.parametrize("kind", ["byte", "char", "bpe"])
def test_a_trained_tokenizer_decodes_to_the_text_and_counts_characters(tmp_path: Path, kind: str) -> None:
    texts = [STRANGE, "Hello Hello Hello test test"]
    spec = tokens.fitted(SPEC | {"tokenizer": kind, "size": 300}, lambda: texts, "x", tmp_path)
    made = tokens.load(spec["digest"], tmp_path)
    for text, ids in zip(texts, made.encode(texts), strict=True):
        assert made.inner.decode(ids) == text
        assert made.chars[ids].sum() == len(text)
        assert max(ids) < made.size == spec["size"]
        if kind == "byte":
            assert len(ids) == len(text.encode())
        if kind == "char":
            assert len(ids) == len(text)


def test_each_unknown_character_is_one_unknown_token(tmp_path: Path) -> None:
    spec = tokens.fitted(SPEC | {"tokenizer": "char"}, lambda: ["abc"], "x", tmp_path)
    made = tokens.load(spec["digest"], tmp_path)
    ids = made.encode(["cab日x"])[0]
    assert made.chars[ids].tolist() == [1] * 5
    assert len(set(ids)) == 4


def test_bpe_depends_on_its_training_texts_and_bytes_do_not(tmp_path: Path) -> None:
    def digest(kind: str, text: str) -> str:
        return str(tokens.fitted(SPEC | {"tokenizer": kind, "size": 280}, lambda: [text], text, tmp_path)["digest"])

    assert digest("bpe", "aaaa bbbb " * 9) != digest("bpe", "cccc dddd " * 9)
    assert digest("byte", "aaaa") == digest("byte", "cccc")


def test_tokenizer_files_give_the_known_token_ids(tmp_path: Path) -> None:
    folder = Path(__import__("os").environ.get("TRANSFER_DATA", "/nowhere")) / "tokenizers"
    if not folder.is_dir():
        pytest.skip("TRANSFER_DATA has no tokenizers")
    gpt2 = tokens.fitted(SPEC | {"tokenizer": str(folder / "gpt2")}, lambda: [], "", tmp_path)
    assert tokens.load(gpt2["digest"], tmp_path).encode(["Hello world"]) == [[15496, 995]]
    assert gpt2["size"] == 50257
    bert = tokens.fitted(SPEC | {"tokenizer": str(folder / "bert_base_uncased")}, lambda: [], "", tmp_path)
    assert tokens.load(bert["digest"], tmp_path).encode(["Hello, WORLD"]) == [[101, 7592, 1010, 2088, 102]]


def test_an_invalid_tokenizer_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="allowed byte, char, bpe or a folder"):
        tokens.fitted(SPEC | {"tokenizer": "bytes"}, lambda: [], "", tmp_path)
    with pytest.raises(DataError, match=r"has none of tokenizer.json"):
        tokens.fitted(SPEC | {"tokenizer": str(tmp_path)}, lambda: [], "", tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(StoreError, match="cannot be read"):
        tokens.fitted(SPEC | {"tokenizer": str(tmp_path)}, lambda: [], "", tmp_path)


def test_a_stored_tokenizer_is_restored_only_if_its_hash_matches(tmp_path: Path) -> None:
    spec = tokens.fitted(SPEC | {"tokenizer": "char"}, lambda: ["abc"], "x", tmp_path / "a")
    content = tokens.text_of(spec["digest"], tmp_path / "a")
    tokens.restore(content + b" ", spec["digest"], tmp_path / "b")
    with pytest.raises(StoreError, match="no longer in the cache"):
        tokens.load(spec["digest"], tmp_path / "b")
    tokens.restore(content, spec["digest"], tmp_path / "b")
    assert tokens.load(spec["digest"], tmp_path / "b").size == spec["size"]


# rows and blocks
def test_rows_are_padded_to_the_longest_of_their_batch_and_cut_at_the_window() -> None:
    rows = [[1, 2, 3], [4], [5, 6, 7, 8, 9, 10, 11], [12, 13]]
    made = TextRows(flat(rows), view([0, 1, 2, 3]), length=5, policy="none", device=CPU)
    inputs, labels = made.gather(torch.tensor([1, 2]), "none", lambda: np.random.default_rng(0))
    assert inputs["ids"].tolist() == [[4, 0, 0, 0, 0], [5, 6, 7, 8, 9]]
    assert inputs["mask"].tolist() == [[True] + [False] * 4, [True] * 5]
    assert labels.tolist() == [1, 0]
    assert made.cut == 1
    assert made.gather(torch.tensor([1, 3]), "none", lambda: np.random.default_rng(0))[0]["ids"].shape == (2, 2)


def test_removed_tokens_leave_no_gap_and_depend_on_the_policy() -> None:
    rows = [list(range(1, 101))] * 8
    made = TextRows(flat(rows), view(list(range(8))), length=100, policy="strong", device=CPU)
    every = torch.arange(8)
    inputs, _ = made.gather(every, "train", lambda: np.random.default_rng(0))
    kept = inputs["mask"].sum(1)
    assert 40 < kept.float().mean() < 90
    for ids, count in zip(inputs["ids"], kept, strict=True):
        assert (ids[1:count] > ids[: count - 1]).all()
        assert not ids[count:].any()
    assert made.gather(every, "none", lambda: np.random.default_rng(0))[0]["mask"].all()


def test_batches_contain_rows_of_similar_length_and_epochs_every_row_once() -> None:
    rng = np.random.default_rng(0)
    rows = [[1] * int(n) for n in rng.integers(1, 200, 1003)]
    made = TextRows(flat(rows), view(list(range(len(rows)))), length=256, policy="none", device=CPU)
    loader = StepLoader(made, Address(0, "fine_tune", "target"), batch=16)
    batches = [loader[t] for t in range(loader.steps_per_epoch)]
    index = torch.cat([batch.index for batch in batches])
    assert len(index.unique()) == len(index) == 62 * 16
    padding = sum(int((~b.inputs["mask"]).sum()) for b in batches) / sum(b.inputs["mask"].numel() for b in batches)
    assert padding < 0.05  # without sorting by length: about 0.45
    firsts = [int(b.inputs["mask"].sum(1)[0]) for b in batches]
    assert firsts != sorted(firsts)  # short and long batches come in any order


def test_a_pass_over_all_rows_starts_with_short_rows_and_restores_the_order() -> None:
    rng = np.random.default_rng(0)
    rows = [[i] * int(n) for i, n in enumerate(rng.integers(1, 60, 150))]
    made = TextRows(flat(rows), view(list(range(150))), length=64, policy="none", device=CPU)
    loader = StepLoader(made, Address(0, "evaluate", "test"), batch=16, views=("none",))

    class First(torch.nn.Module):
        def features(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            return torch.stack([inputs["ids"][:, 0].float(), inputs["mask"].sum(1).float()], 1)

    found = features(First(), loader, "fp32")
    assert found.tolist() == [[float(row[0]), float(len(row))] for row in rows]
    widths = [batch.inputs["ids"].shape[1] for batch in loader.whole()]
    assert widths == sorted(widths)


def test_blocks_end_to_end_predict_every_token_once() -> None:
    rows = [list(range(1, 8)), list(range(8, 11)), list(range(11, 30))]
    made = Blocks(TextRows(flat(rows), view([0, 1, 2]), length=4, policy="weak", device=CPU), view([0, 1, 2]))
    loader = StepLoader(made, Address(0, "evaluate", "test"), batch=3, views=("none",))
    seen, told = [], []
    for batch in loader.whole():
        real = batch.inputs["mask"]
        assert (batch.target()[~real] == PADDING).all()
        seen += batch.inputs["ids"][real].tolist()
        told += batch.target()[real].tolist()
    assert seen == list(range(1, 29))
    assert told == list(range(2, 30))


def test_training_blocks_start_anywhere_and_never_cross_the_end() -> None:
    made = Blocks(TextRows(flat([list(range(100))]), view([0]), length=8, policy="weak", device=CPU), view([0]))
    loader = StepLoader(made, Address(0, "pretrain", "target"), batch=12)
    starts = set()
    for t in range(200):
        batch = loader[t]
        assert batch.inputs["mask"].all()
        assert torch.equal(batch.target(), batch.inputs["ids"] + 1)
        starts |= set(batch.inputs["ids"][:, 0].tolist())
    assert starts == set(range(92))
    again = StepLoader(made, Address(0, "pretrain", "target"), batch=12)
    assert torch.equal(again[7].inputs["ids"], loader[7].inputs["ids"])


def test_a_text_shorter_than_a_block_is_one_padded_block() -> None:
    made = Blocks(TextRows(flat([[1, 2, 3]]), view([0]), length=8, policy="weak", device=CPU), view([0]))
    inputs, labels = made.gather(torch.tensor([0]), "weak", lambda: np.random.default_rng(0))
    assert inputs["mask"].tolist() == [[True, True] + [False] * 6]
    assert labels.tolist() == [[2, 3] + [PADDING] * 6]
