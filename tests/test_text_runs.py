"""The methods that were written for pictures, on texts: whole runs of three steps, and what they leave."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfer_cli.config.signatures import PACKAGE

Transfer = Callable[..., Any]
WORDS = ("good fine great happy warm", "bad poor awful sad cold")
SMALL = ("trainer=tiny", "runtime=cpu")
BAG = ("model=embedding_bag", "model.input={tokenizer: bpe, size: 300, length: 32}")
BERT = (
    "model=bert_tiny", "model.layers=1", "model.width=16", "model.input={tokenizer: char, length: 32}",
)  # fmt: skip
GPT = ("model=gpt_tiny", "model.layers=2", "model.width=16", "model.input={tokenizer: byte, length: 32}")


def reviews(path: Path, seed: int) -> str:
    rows = [f"{WORDS[i % 2].split()[(i * 7 + seed + i // 2) % 5]} item number {i},{'pn'[i % 2]}" for i in range(120)]
    path.write_text("text,label\n" + "\n".join(rows))
    return str(path)


def book(path: Path) -> str:
    path.write_text("".join(f"the {i % 7} of {i % 5} is {i % 3}.\n" for i in range(600)))
    return str(path)


def results(folder: Path) -> dict[str, Any]:
    (found,) = (path for path in (folder / "runs").glob("*/*/results.json") if path.parts[-3][0] != ".")
    return dict(json.loads(found.read_text()))


@pytest.mark.parametrize("model", [BAG, BERT, GPT], ids=["bag", "bert", "gpt"])
@pytest.mark.parametrize("strategy", ["scratch", "fine_tune", "partial", "linear_probe", "knn", "coral", "few_shot"])
def test_methods_for_pictures_run_on_texts(transfer: Transfer, tmp_path: Path, strategy: str, model: Any) -> None:
    words = [f"data={reviews(tmp_path / 'a.csv', 0)}", f"source={reviews(tmp_path / 'b.csv', 1)}"]
    few = ["evaluate={way: 2, shots: 3, queries: 4, draws: 20}"] if strategy == "few_shot" else []
    told = transfer("run", f"strategy={strategy}", *words, *model, *SMALL, *few)
    assert told.code == 0, told.err
    found = results(tmp_path)
    assert found["headline"]["name"] == "test/accuracy"
    assert found["headline"]["over"] == ("draws of 2-way 3-shot" if few else "test texts")


@pytest.mark.parametrize("strategy", ["scratch", "fine_tune", "partial"])
def test_methods_for_pictures_run_on_language(transfer: Transfer, tmp_path: Path, strategy: str) -> None:
    words = [f"data={book(tmp_path / 'a.txt')}", f"source={book(tmp_path / 'b.txt')}", "data.passage=200"]
    told = transfer("run", f"strategy={strategy}", *words, "source.passage=200", *GPT, *SMALL)
    assert told.code == 0, told.err
    found = results(tmp_path)
    assert found["headline"]["name"] == "test/bits_per_char"
    assert found["headline"]["over"] == "test blocks of 32 tokens"
    assert found["headline"]["ci95"] > 0


def test_no_method_asks_what_a_row_is() -> None:
    """The same files serve pictures, texts and vectors because none of them knows which it has; two pretext tasks ask
    what only a picture can answer."""
    pretexts = {"mae.py", "rotation.py"}
    for path in (path for path in (PACKAGE / "methods").glob("*.py") if path.name not in pretexts):
        assert not re.search(r'"(pixels|ids|mask|vectors)"', path.read_text()), path.name


def test_a_language_model_becomes_a_classifier(transfer: Transfer, tmp_path: Path) -> None:
    """Source and target may be of two tasks: the backbone goes on, the head is new."""
    words = [f"data={reviews(tmp_path / 'a.csv', 0)}", f"source={book(tmp_path / 'b.txt')}", "source.passage=200"]
    told = transfer("run", "strategy=fine_tune", *words, *GPT, *SMALL)
    assert told.code == 0, told.err
    assert results(tmp_path)["headline"]["name"] == "test/accuracy"


def test_a_trained_net_reads_new_texts_and_starts_another_run(transfer: Transfer, tmp_path: Path) -> None:
    data = reviews(tmp_path / "a.csv", 0)
    words = ["strategy=scratch", f"data={data}", *BAG, "trainer=tiny", "trainer.steps=60", "trainer.lr=1", "seed=1"]
    assert transfer("run", *words).code == 0
    (tmp_path / "new.txt").write_text("good and happy\nsad awful\n\nhappy good happy\n")
    told = transfer("predict", "last", str(tmp_path / "new.txt"), "--json")
    assert told.code == 0, told.err
    rows = json.loads(told.out)["rows"]
    assert [row["path"] for row in rows] == ["new.txt row 1", "new.txt row 2", "new.txt row 4"]
    assert [row["class"] for row in rows] == ["p", "n", "p"]
    (tmp_path / "new.jsonl").write_text('{"text": "awful cold"}\n')
    table = json.loads(transfer("predict", "last", str(tmp_path / "new.jsonl"), "--json").out)
    assert [row["class"] for row in table["rows"]] == ["n"]
    for kept in (tmp_path / "runs" / ".cache" / "tokenizers").iterdir():
        kept.unlink()  # the run has its own
    told = transfer("run", "strategy=knn", f"data={data}", "weights=last", "--debug")
    assert told.code == 0, told.err


WRONG = {
    "pictures for a text model": (["model=gpt_tiny", "data=digits"], 2, "reads texts, and digits"),
    "texts for a picture model": (["model=lenet", "data=T"], 2, "reads pictures, and"),
    "language wants a causal model": (["data=B", *BERT], 2, "language wants a causal model   do: model=gpt_tiny"),
    "no label of language": (["data=B", *GPT, "fine_tune=linear_probe"], 2, "linear_probe: cannot learn language"),
    "no classes of language": (["data=B", *GPT, "predictor=knn"], 2, "scores classes"),
    "a tokenizer nobody knows": (["data=T", "model=bert_tiny", "model.input.tokenizer=bites"], 4, "allowed byte"),
    "mixed tokens": (["data=T", *BERT, "fine_tune.mixup=0.2"], 2, "mixup"),
}  # fmt: skip


@pytest.mark.parametrize("model", [BERT, BAG])
@pytest.mark.parametrize("where", [["strategy=scratch", "data=B"], ["data=T", "source=B"]])
def test_a_model_that_sees_ahead_is_refused_before_the_run_begins(
    transfer: Transfer, tmp_path: Path, model: list[str], where: list[str]
) -> None:
    places = {"data=T": f"data={reviews(tmp_path / 't.csv', 0)}", "data=B": f"data={book(tmp_path / 'b.txt')}"}
    places["source=B"] = places["data=B"].replace("data=", "source=")
    told = transfer("run", "-n", *[places.get(word, word) for word in where], *model, *SMALL)
    assert told.code == 2, told.err
    assert "language wants a causal model" in told.errors[0]
    assert not list((tmp_path / "runs").glob("fine_tune-*"))


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_what_does_not_go_together_is_told(transfer: Transfer, tmp_path: Path, case: str) -> None:
    words, code, text = WRONG[case]
    places = {"data=T": f"data={reviews(tmp_path / 't.csv', 0)}", "data=B": f"data={book(tmp_path / 'b.txt')}"}
    told = transfer("run", "strategy=scratch", *[places.get(word, word) for word in words], *SMALL)
    assert told.code == code, told.err
    assert text in " ".join(told.errors)
    assert len(told.errors) <= 3
