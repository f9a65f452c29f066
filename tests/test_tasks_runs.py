"""Runs of the tasks beside classification and language, from files to predictions, exports and refusals."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("starlette", reason="needs the extra serve")

from serving import app_of
from starlette.testclient import TestClient

Transfer = Callable[..., Any]
PROBE = ("strategy=linear_probe", "pretrain=none", "model=identity")
BRACKETS = str.maketrans("", "", "[]")
TINY = ("trainer=tiny", "strategy=scratch")


def results(transfer: Transfer, *words: str) -> dict[str, Any]:
    told = transfer("run", "-q", *words)
    assert told.code == 0, told.err
    found: dict[str, Any] = json.loads((Path(told.out.strip()) / "results.json").read_text())
    return found


def table(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def served(root: Path, run: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """What `transfer serve` answers to one row."""
    client = TestClient(app_of(root, run["id"], 80), base_url="http://127.0.0.1")
    reply = client.post("/predict", json=body)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def answers(transfer: Transfer, *argv: str) -> list[dict[str, str]]:
    told = transfer("predict", *argv)
    assert told.code == 0, told.err
    return list(csv.DictReader(told.out.splitlines()))


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """houses.csv: a price that two columns decide exactly."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 3)).round(3)
    price = 300 + 40 * x[:, 0] - 10 * x[:, 2]
    path = tmp_path / "houses.csv"
    table(
        path, ["rooms", "noise", "age", "price"], [[*row, p] for row, p in zip(x.tolist(), price.tolist(), strict=True)]
    )
    return path


def test_numbers_of_a_table_are_learned_judged_predicted_and_exported(
    transfer: Transfer, numbers: Path, tmp_path: Path
) -> None:
    run = results(transfer, *PROBE, "data=./houses.csv", "data.numbers=[price]", "fine_tune.l2=0.000001")
    assert run["headline"]["name"] == "test/rmse"
    assert run["headline"]["value"] < 1.0
    assert run["measures"]["rmse"]["lower_is_better"]
    assert run["cost"]["labels"] > 0
    table(tmp_path / "new.csv", ["rooms", "noise", "age"], [[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]])
    found = answers(transfer, "last", "./new.csv")
    np.testing.assert_allclose([float(row["price"]) for row in found], [340.0, 280.0], atol=1.0)
    assert served(tmp_path, run, {"vector": [1.0, 0.0, 0.0]})["price"] == pytest.approx(340.0, abs=1.0)
    assert transfer("export", "last", "--to", "torch_export", "-o", "./net.pt2").code == 0
    refused = transfer("explain", "last", "./new.csv")
    assert refused.code == 2
    assert "learned the task regress, which has no explain; it can predict, export, serve" in refused.err
    shown = transfer("compare", "last", "--format", "table")
    assert "RMSE" in shown.out
    assert "RMSE %" not in shown.out


def test_knn_and_fine_tuning_answer_numbers_too(transfer: Transfer, numbers: Path) -> None:
    near = results(transfer, "strategy=knn", *PROBE[1:], "data=./houses.csv", "data.numbers=[price]")
    tuned = results(transfer, *TINY, "model=mlp_vectors", "data=./houses.csv", "data.numbers=[price]")
    for run in (near, tuned):
        assert 0 < run["headline"]["value"] < 100


def test_several_labels_of_texts(transfer: Transfer, tmp_path: Path) -> None:
    words = {"good": "praise", "bad": "blame", "late": "delivery"}
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(80):
        chosen = [word for word in words if rng.random() < 0.5]
        rows.append([" ".join(["the", *chosen, "parcel"]), "|".join(words[word] for word in chosen)])
    table(tmp_path / "reviews.csv", ["text", "label"], rows)
    given = (
        "data=./reviews.csv",
        "data.label_separator=|",
        "model=embedding_bag",
        "trainer.lr=0.5",
        "trainer.steps=150",
    )
    run = results(transfer, *TINY, *given)
    assert run["headline"]["name"] == "test/average_precision"
    assert run["headline"]["value"] > 0.9
    table(tmp_path / "new.csv", ["text"], [["the good parcel"], ["the late parcel"]])
    found = answers(transfer, "last", "./new.csv")
    assert float(found[0]["p_praise"]) > float(found[1]["p_praise"])
    assert float(found[1]["p_delivery"]) > float(found[0]["p_delivery"])
    answer = served(tmp_path, run, {"text": "the late parcel"})
    assert answer["p_delivery"] == pytest.approx(float(found[1]["p_delivery"]), abs=1e-5)


def test_entities_of_a_conll_file(transfer: Transfer, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    people, verbs, places = ["Ada", "Alan", "Grace"], ["visits", "leaves"], ["Paris", "Oslo", "Rome"]
    sentences = []
    for _ in range(90):
        person, verb, place = (str(rng.choice(words)) for words in (people, verbs, places))
        sentences.append(f"{person}\tB-per\n{verb}\tO\n{place}\tB-loc\n.\tO\n")
    (tmp_path / "trips.conll").write_text("\n".join(sentences))
    given = ("data=./trips.conll", "model=bert_tiny", "model.input.tokenizer=byte", "trainer.steps=120")
    run = results(transfer, *TINY, *given, "trainer.lr=0.003", "trainer.optimizer=adamw")
    assert run["headline"]["name"] == "test/f1"
    assert run["headline"]["value"] > 0.9
    assert {"test/f1/loc", "test/f1/per"} <= run["metrics"]["final"].keys()
    (tmp_path / "new.txt").write_text("Grace leaves Rome .\n")
    (row,) = answers(transfer, "last", "./new.txt")
    assert row["entities"] == "Grace (per), Rome (loc)"
    assert served(tmp_path, run, {"text": "Ada visits Oslo ."})["entities"] == "Ada (per), Oslo (loc)"
    assert "has no export" in transfer("export", "last", "--to", "torch_export", "-o", "./net.pt2").err


def test_a_task_that_the_data_cannot_teach_is_refused(transfer: Transfer, numbers: Path) -> None:
    refused = transfer("run", *TINY, "data=digits", "task=regress", "source=none")
    assert refused.code == 2
    assert "task=regress" in refused.err
    probe = transfer("run", "strategy=few_shot", "source=none", "pretrain=none", "model=identity", "data=./houses.csv",
                     "data.numbers=[price]", "evaluate.way=null", "predictor=prototypes")  # fmt: skip
    assert probe.code == 2
    assert "predictor=prototypes: scores classes, and the task of" in probe.err


def test_a_source_with_other_numbers_is_refused_before_it_is_learned_from(transfer: Transfer, tmp_path: Path) -> None:
    for name, columns in (("a", ["price", "rent"]), ("b", ["price"])):
        rows = np.random.default_rng(0).normal(size=(40, 1 + len(columns))).tolist()
        table(tmp_path / f"{name}.csv", ["x", *columns], rows)
    refused = transfer("run", "trainer=tiny", "strategy=source_only", "model=mlp_vectors", "data=./b.csv",
                       "data.numbers=[price]", "source=./a.csv", "source.numbers=[price,rent]")  # fmt: skip
    assert refused.code == 4
    assert "the net's numbers are not the target's: the net's 2, b.csv 1, 1 shared" in refused.err
    assert not list((tmp_path / "runs").glob(".store/*/stage.json"))


def test_language_is_learned_from_texts_of_other_classes(transfer: Transfer, tmp_path: Path) -> None:
    """Its labels are the texts themselves."""
    for name, classes in (("a", "pn"), ("b", "xy")):
        rows = [[f"{['good', 'bad'][i % 2]} item number {i}", classes[i % 2]] for i in range(60)]
        table(tmp_path / f"{name}.csv", ["text", "label"], rows)
    run = results(transfer, "trainer=tiny", "strategy=source_only", "data=./b.csv", "source=./a.csv", "task=language",
                  "model=gpt_tiny", "model.input={tokenizer: byte, length: 32}")  # fmt: skip
    assert run["headline"]["name"] == "test/bits_per_char"


@pytest.mark.parametrize(
    ("word", "text"),
    [
        (
            "fine_tune.feeds.target.sampler=balanced",
            "chooses rows by their classes, and the task of houses.csv is regress",
        ),
        (
            "evaluate.views=[classes]",
            "its rows have no classes, the task of houses.csv is regress",
        ),
    ],
)
def test_what_needs_classes_is_refused_for_numbers(transfer: Transfer, numbers: Path, word: str, text: str) -> None:
    refused = transfer("run", *TINY, "model=mlp_vectors", "data=./houses.csv", "data.numbers=[price]", word)
    assert (refused.code, refused.err.splitlines()[0]) == (2, f"error: {word.translate(BRACKETS)}: {text}")
