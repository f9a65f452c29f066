"""What a user of texts reads when something is wrong: one line, what to do, the documented exit code."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfer_cli.data.open import describe

Transfer = Callable[..., Any]
BAG = ("strategy=scratch", "trainer=tiny", "runtime=cpu")
ROWS = [(f"{'good fine' if i % 2 else 'bad poor'} item {i}", "np"[i % 2]) for i in range(60)]
TABLE = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)
PARTS = "text,label,part\n" + "".join(f"{t},{c},{'test' if i > 40 else 'train'}\n" for i, (t, c) in enumerate(ROWS))
LINES = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS)
LATIN = ["error: a.csv: line 2: byte 0xfc is no utf-8", "  do: data.encoding=latin-1, or what it was written in"]

WRONG: dict[str, tuple[str, bytes, list[str]]] = {
    "encoding": ("a.csv", TABLE.replace("a", "ü").replace("lübel", "label").encode("latin-1"), LATIN),
    "empty": ("a.csv", b"", ["error: a.csv: is empty"]),
    "empty text": ("a.txt", b"\n \n", ["error: a.txt: is empty"]),
    "empty lines": ("a.jsonl", b"\n\n", ["error: a.jsonl: is empty"]),
    "header alone": ("a.csv", b"text,label\n", ["error: a.csv: 0 rows in its train part"]),
    "no train": ("a.csv", b"text,label,part\na b,x,test\n", ["error: a.csv: 0 rows in its train part"]),
    "column of the text": (
        "a.tsv", b"sentence\tlabel\na\tb\n",
        ["error: a.tsv: no column text; columns: sentence, label", "  do: data.text=COLUMN"],
    ),
    "column of the label": (
        "a.csv", b"text,lable\na,b\n",
        ["error: a.csv: no column label; columns: text, lable; nearest: lable", "  do: data.label=COLUMN"],
    ),
    "neither texts nor pictures": (
        "a.csv", b"sentence,label\na,b\n",
        [
            "error: a.csv: row 1: no column path; columns: sentence, label",
            "  do: first row: path,label of pictures, or text,label of texts; maybe part",
        ],
    ),
    "a later row without the column": (
        "a.jsonl", LINES.encode() + b'{"label": "p"}\n',
        ["error: a.jsonl row 61: no column text; columns: label", "  do: data.text=COLUMN"],
    ),
    "null": ("a.jsonl", LINES.encode() + b'{"text": null, "label": "p"}\n', ["error: a.jsonl row 61: no text"]),
    "null label": ("a.jsonl", LINES.encode() + b'{"text": "a", "label": null}\n', ["error: a.jsonl row 61: no label"]),
    "label unseen in training": (
        "a.csv", PARTS.encode() + b"meh,z,test\n", ["error: a.csv row 62: label z is not in train"],
    ),
    "labels unseen in training": (
        "a.csv", PARTS.encode() + b"meh,z,test\n" * 3 + b"hm,y,test\n",
        [
            "error: a.csv row 62: label z is not in train; 2 more",
            "  do: transfer data check a.csv -v",
            "error: a.csv row 65: label y is not in train",
        ],
    ),
    "no JSON": (
        "a.jsonl", LINES.encode() + b'{"text": \n',
        ["error: a.jsonl row 61: no JSON: Expecting value: line 1 column 10 (char 9)"],
    ),
    "too deep": ("a.jsonl", b'{"text": ' + b"[" * 100_000 + b"\n", ["error: a.jsonl row 1: no JSON: *"]),
    "quotes": (
        "a.csv", b'text,label\n"a "b,c\n',
        ["error: a.csv row 2: not readable as a table: ',' expected after '\"'"],
    ),
    "cut short": (
        "a.jsonl.gz", gzip.compress(LINES.encode(), mtime=0)[:-200],
        ["error: a.jsonl.gz: unreadable: Compressed file ended before the end-of-stream marker was reached"],
    ),
    "one class": (
        "a.csv", b"text,label\na,x\nb,x\n",
        ["error: data=a.csv: only 1 class, x; a classifier needs 2 or more"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_texts(kind: str, transfer: Transfer, tmp_path: Path) -> None:
    name, content, lines = WRONG[kind]
    (tmp_path / name).write_bytes(content)
    told = transfer("run", f"data=./{name}", *BAG)
    assert (told.code, told.out) == (4, "")
    found = [line[: len(want) - 1] + "*" if want.endswith("*") else line for line, want in zip(told.errors, lines)]
    assert (found, len(told.errors)) == (lines, len(lines))
    assert not list((tmp_path / "runs" / ".store").glob("*/DONE"))


def test_texts_longer_than_the_window_are_told_once(transfer: Transfer, tmp_path: Path) -> None:
    rows = [f"{text * (20 if i % 3 == 0 else 1)},{label}\n" for i, (text, label) in enumerate(ROWS)]
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(rows))
    short = ("data=./a.csv", "model=embedding_bag", "model.input={tokenizer: byte, length: 32}")
    told = transfer("run", *short, *BAG, "data.val_fraction=0.2")
    assert told.code == 0, told.err
    (line,) = [line for line in told.err.splitlines() if "tokens" in line]
    cut, rest = line.split(" of ", 1)
    assert (
        rest == "42 train texts of a.csv have more than 32 tokens and are cut there; model.input.length=64 keeps more"
    )
    data = describe({"family": "text_table", "path": "a.csv", "val_fraction": 0.2}, cache=tmp_path / "cache")
    assert data is not None
    texts = data.raw.parts["train"].rows()  # type: ignore[misc]
    assert int(cut.split()[-1]) == sum(len(texts[row]) > 32 for row in data.rows("train").index) > 0
    (log,) = (tmp_path / "runs").glob("*/*/log.txt")
    assert rest in log.read_text()
    told = transfer("run", *short[:2], "model.input={tokenizer: byte, length: 512}", *BAG)
    assert (told.code, "cut there" in told.err) == (0, False)


def test_blocks_of_a_language_model_are_not_texts_that_are_cut(transfer: Transfer, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"the {i % 7} of {i % 5}.\n" for i in range(400)))
    small = ("model=gpt_tiny", "model.layers=1", "model.width=8", "model.input={tokenizer: byte, length: 16}")
    told = transfer("run", "data=./a.txt", *BAG, *small)
    assert (told.code, "cut there" in told.err) == (0, False), told.err


def words_of_weights(folder: Path, vocabulary: int, words: int) -> str:
    """A tiny net of the transformers library with that many tokens, and a tokenizer of `words` words beside it."""
    import torch
    from safetensors.torch import save_file
    from transformers import GPT2Config, GPT2Model

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=vocabulary, n_embd=8, n_layer=1, n_head=1, n_positions=16)
    folder.mkdir()
    save_file({k: v.contiguous() for k, v in GPT2Model(config).state_dict().items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2", **config.to_diff_dict()}))
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"w{i}" for i in range(words - 5))]
    (folder / "vocab.txt").write_text("\n".join(vocab))
    return f"weights={folder.name}"


def test_a_tokenizer_that_the_weights_do_not_know(transfer: Transfer, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TABLE)
    weights = words_of_weights(tmp_path / "net", 40, 60)
    told = transfer("run", "data=./a.csv", "strategy=linear_probe", weights, "trainer=tiny")
    assert (told.code, told.out, told.errors) == (5, "", [
        "error: model.input.tokenizer: has 60 tokens, the weights have 40",
        "  do: take the tokenizer of the weights' folder",
    ])  # fmt: skip
    (tmp_path / "net" / "vocab.txt").unlink()
    told = transfer("run", "data=./a.csv", "strategy=linear_probe", weights, "trainer=tiny")
    assert (told.code, told.errors) == (4, [
        "error: model.input.tokenizer=net: the folder has none of tokenizer.json, vocab.json, vocab.txt",
    ])  # fmt: skip
    told = transfer(
        "run", "data=./a.csv", "strategy=linear_probe", weights, "trainer=tiny", "model.input.tokenizer=char"
    )
    assert (told.code, told.errors) == (5, [
        "error: model.input.tokenizer=char: is learned from your texts, and the weights have a tokenizer of their own",
        "  do: take the tokenizer of the weights' folder",
    ])  # fmt: skip
    assert not list((tmp_path / "runs" / ".store").glob("*/DONE"))


def test_a_tokenizer_of_the_right_size_is_taken(transfer: Transfer, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TABLE)
    weights = words_of_weights(tmp_path / "net", 40, 37)  # vocabularies are rounded up
    told = transfer("run", "data=./a.csv", "strategy=linear_probe", weights, "trainer=tiny", "trainer.steps=3")
    assert told.code == 0, told.err


HEAVY = {"transformers", "tokenizers", "timm", "peft", "datasets", "pandas", "sklearn", "submitit", "ray"}
RUNS = {
    "pictures": ("data=digits", "model=lenet", "source=digits", "strategy=coral"),
    "texts": ("data=./a.csv", "model=embedding_bag", "model.input={tokenizer: byte, length: 32}"),
}


@pytest.mark.parametrize("kind", RUNS)
def test_a_run_imports_only_what_its_net_and_data_need(kind: str, tmp_path: Path) -> None:
    """In a child, for this process has everything in memory already. The bag of words needs its tokenizer alone."""
    (tmp_path / "a.csv").write_text(TABLE)
    argv = ["run", "trainer=tiny", "runtime=cpu", "--runs", str(tmp_path / "runs"), "-q", *RUNS[kind]]
    argv += [] if "coral" in str(argv) else ["strategy=scratch"]
    code = f"""import sys
from transfer_cli.cli.main import main
code = main({argv!r})
print("|", code, *sys.modules)"""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=env)
    assert made.returncode == 0, made.stderr
    code_told, *modules = made.stdout.rpartition("|")[2].split()
    assert code_told == "0", made.stderr
    loaded = {name.partition(".")[0] for name in modules}
    assert {"torch", "transfer_cli"} <= loaded
    assert loaded & HEAVY == ({"tokenizers"} if kind == "texts" else set())
    if kind != "texts":
        assert not {name for name in modules if name.startswith("transfer_cli.")} & {
            "transfer_cli.models.transformers", "transfer_cli.models.embedding_bag",
            "transfer_cli.data.readers.text_table",
        }  # fmt: skip
