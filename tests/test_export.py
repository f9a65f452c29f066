"""transfer export: the file says what the run said, and what stands beside it is enough to use it without us."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import write_pictures
from PIL import Image
from torch import nn

from transfer_cli.export import safetensors
from transfer_cli.export.check import Agreement, agreement, agrees, allowed
from transfer_cli.kinds.vectors import Vectors

Transfer = Callable[..., Any]
RGB = "model.input={channels: 3, size: 18, crop: 16, mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.4]}"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "pics" / "train")
    return write_pictures(tmp_path / "pics" / "test", count=5, side=24)


def run(transfer: Transfer, *words: str) -> str:
    told = transfer("run", "-q", "trainer=tiny", *words)
    assert told.code == 0, told.err
    return str(told.out.strip()[-6:])


def texts(folder: Path) -> Path:
    """A table of texts that one word tells apart."""
    lines = [f"{'good' if i % 2 else 'bad'} word{i % 7} and more{' yes' * (i % 5)},{i % 2}" for i in range(60)]
    (folder / "texts.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    return folder / "texts.csv"


def prepared(path: Path, steps: list[dict[str, Any]]) -> torch.Tensor:
    """Pixels [1, C, H, W] of a picture, by torchvision, from the steps as the JSON has them."""
    from torchvision.transforms import v2

    found = Image.open(path)
    for step in steps:
        ((name, what),) = step.items()
        if name == "convert":
            found = found.convert(what)
        elif name == "resize":
            way = v2.InterpolationMode(what["interpolation"])
            found = v2.functional.resize(found, [what["shorter_side"]], interpolation=way, antialias=what["antialias"])
        elif name == "crop":
            found = v2.functional.center_crop(found, what["centre"])
        elif name == "scale":
            found = torch.from_numpy(np.array(found)).permute(2, 0, 1).float() * what
        elif name == "normalise":
            found = v2.functional.normalize(found, what["mean"], what["std"])
    return found[None]


def predicted(transfer: Transfer, path: str) -> list[float]:
    row = json.loads(transfer("predict", "last", path, "--json").out)["rows"][0]
    return [value for name, value in row.items() if name.startswith("p_")]


def test_a_file_of_tensors_and_its_note_are_enough(transfer: Transfer, pictures: Path, tmp_path: Path) -> None:
    # where auto is bf16, predict rounds as the run does, and the file is asked in fp32
    run(transfer, "data=./pics", "model=lenet", "strategy=scratch", "source=none", "model.precision=fp32", RGB)
    told = transfer("export", "last", "--to", "safetensors", "-o", "net.safetensors", "--format", "table")
    assert told.code == 0, told.err
    assert "pixels [B,3,16,16]; 10 of 10 answers equal (max " in told.out.replace("\n  ", " ")
    note = json.loads((tmp_path / "net.safetensors.json").read_text())
    assert note["classes"] == ["cat", "dog"]
    assert note["bytes"] == (tmp_path / "net.safetensors").stat().st_size
    pixels = prepared(pictures / "dog" / "03.png", note["preprocessing"]["steps"])
    scores = safetensors.load((tmp_path / "net.safetensors").read_bytes())({"pixels": pixels})
    assert scores.softmax(1)[0].tolist() == pytest.approx(predicted(transfer, "pics/test/dog/03.png"), abs=1e-5)


def test_a_run_of_texts_brings_its_tokenizer(transfer: Transfer, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    texts(tmp_path)
    name = run(transfer, "data=./texts.csv", "model=bert_tiny", "model.layers=1", "strategy=scratch")
    assert transfer("export", name, "--to", "safetensors").code == 0
    path = tmp_path / f"{name}.safetensors"
    before = json.loads((tmp_path / f"{path.name}.json").read_text())["preprocessing"]
    tokenizer = Tokenizer.from_file(str(tmp_path / before["tokenizer"]))
    ids = torch.tensor([tokenizer.encode("good word3 and more").ids])
    (tmp_path / "new.txt").write_text("good word3 and more\n")
    scores = safetensors.load(path.read_bytes())({"ids": ids, "mask": torch.ones_like(ids, dtype=torch.bool)})
    assert scores.softmax(1)[0].tolist() == pytest.approx(predicted(transfer, "new.txt"), abs=1e-5)


def test_lora_is_folded_into_the_file(transfer: Transfer, pictures: Path, tmp_path: Path) -> None:
    run(transfer, "data=./pics", "model=mlp", "strategy=lora", "source=digits")
    told = transfer("export", "last", "--to", "safetensors", "-o", "net.safetensors", "--json")
    assert json.loads(told.out)["check"]["agrees"] is True
    assert b"lora" not in (tmp_path / "net.safetensors").read_bytes()


def test_a_net_that_says_something_else_is_not_written(
    transfer: Transfer, pictures: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    run(transfer, "data=./pics", "model=mlp", "strategy=scratch", "source=none")
    before = safetensors.save

    def wrong(program: Any, quantize: str) -> bytes:
        program.net.heads["classify"].bias.data[0] += 50
        return before(program, quantize)

    monkeypatch.setattr(safetensors, "save", wrong)
    told = transfer("export", "last", "--to", "safetensors", "-o", "net.safetensors")
    assert told.code == 9
    assert told.errors[0].startswith("error: net.safetensors: scores differ by up to 50, allowed 0.00")
    assert told.errors[0].endswith("; 5 of 10 answers are the run's")
    assert told.errors[1] == "  do: nothing was written"
    assert not list(tmp_path.glob("net*"))


def test_a_file_that_the_user_did_not_name_is_not_replaced(transfer: Transfer, pictures: Path, tmp_path: Path) -> None:
    name = run(transfer, "data=./pics", "model=mlp", "strategy=scratch", "source=none")
    (tmp_path / f"{name}.safetensors").write_text("mine")
    told = transfer("export", "last", "--to", "safetensors")
    assert (told.code, told.errors[0]) == (2, f"error: {name}.safetensors: is there already")
    assert (tmp_path / f"{name}.safetensors").read_text() == "mine"
    assert transfer("export", "last", "--to", "safetensors", "-y").code == 0


def test_what_cannot_be_exported(transfer: Transfer, pictures: Path, tmp_path: Path, monkeypatch: Any) -> None:
    run(transfer, "data=./pics", "model=mlp", "strategy=knn", "source=digits")
    for argv, code, line in (
        ([], 2, "error: --to: needs one of safetensors, onnx, torch_export"),
        (["--to", "safetensors", "--quantize", "int8"], 2, "error: --quantize=int8: safetensors holds the net's"),
        (["--to", "torch_export", "--quantize", "int8"], 2, "error: --quantize=int8: torch_export programs keep"),
        (["--to", "safetensors"], 2, "error: export: its classes come from predictor=knn on stored rows"),
        (["--to", "safetensors", "-o", "no/net.st"], 2, "error: -o=no/net.st: its folder is not there"),
    ):
        told = transfer("export", "last", *argv)
        assert (told.code, told.errors[0][: len(line)]) == (code, line)
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    told = transfer("export", "last", "--to", "onnx")
    assert (told.code, told.errors) == (2, ["error: --to=onnx: needs an extra: pip install 'transfer-cli[onnx]'"])


def test_test_rows_that_changed_are_no_check(transfer: Transfer, pictures: Path, tmp_path: Path) -> None:
    run(transfer, "data=./pics", "model=mlp", "strategy=scratch", "source=none")
    (pictures / "cat" / "00.png").unlink()
    told = transfer("export", "last", "--to", "safetensors", "-o", "net.st")
    assert told.code == 4
    assert told.errors[0].endswith("has changed since the run was evaluated, and the check reads it")


# pure functions
def test_agreement_counts_rows_and_measures_scores() -> None:
    wanted = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 2.9]])
    found = torch.tensor([[1.0, 0.5], [0.0, 2.0], [2.8, 2.9]])
    told = [({"vectors": found[:2]}, wanted[:2]), ({"vectors": found[2:]}, wanted[2:])]
    got = agreement(lambda inputs: inputs["vectors"], told)
    assert got == Agreement(3, 2, pytest.approx(0.5), 3.0)
    broken = agreement(lambda inputs: inputs["vectors"] * float("nan"), told)
    assert broken.difference == float("inf")
    assert not agrees(broken, "fp32", "")


def test_what_is_allowed() -> None:
    assert allowed("fp32", 0.2) == 1e-3
    assert allowed("fp32", 20.0) == pytest.approx(0.02)
    assert allowed("bf16", 20.0) == pytest.approx(1.0)
    assert agrees(Agreement(100, 95, 7.0, 1.0), "fp32", "int8")
    assert not agrees(Agreement(100, 94, 0.0, 1.0), "fp32", "int8")
    assert not agrees(Agreement(100, 100, 7.0, 1.0), "fp32", "")


def test_preprocessing_of_numbers() -> None:
    assert Vectors().preprocessing({"width": 7}) == {"reads": "numbers", "width": 7}


# the other formats: tracing takes seconds
@pytest.mark.slow
@pytest.mark.parametrize("to", ["torch_export", "onnx"])
@pytest.mark.parametrize("kind", ["pictures", "bert_tiny", "gpt_tiny"])
def test_programs_run_without_us(to: str, kind: str, transfer: Transfer, pictures: Path, tmp_path: Path) -> None:
    """Any number of rows, and texts of any length."""
    texts(tmp_path)
    words = ["data=./pics", "model=lenet", RGB] if kind == "pictures" else ["data=./texts.csv", f"model={kind}"]
    run(transfer, *words, "strategy=scratch")
    told = transfer("export", "last", "--to", to, "-o", "net.bin", "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out)["check"]["max_difference"] < 1e-4
    for rows, tokens in ((1, 3), (7, 9)):
        ids = torch.arange(rows * tokens).reshape(rows, tokens) % 11
        pixels = {"pixels": torch.linspace(-1, 1, rows * 768).reshape(rows, 3, 16, 16)}
        inputs = pixels if kind == "pictures" else {"ids": ids, "mask": ids != 10}
        assert outside(to, tmp_path / "net.bin", inputs).shape == (rows, 2)


def outside(to: str, path: Path, inputs: dict[str, torch.Tensor]) -> np.ndarray:
    """Scores by the format's own library alone."""
    if to == "torch_export":
        module: nn.Module = torch.export.load(path).module()
        return np.asarray(module(*inputs.values()).detach())
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(path.read_bytes())
    return np.asarray(session.run(None, {name: x.numpy() for name, x in inputs.items()})[0])


@pytest.mark.slow
def test_int8_is_smaller_and_says_nearly_the_same(transfer: Transfer, pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    name = run(transfer, "data=./pics", "model=lenet", "strategy=scratch", "source=none")
    whole = json.loads(transfer("export", "last", "--to", "onnx", "--json").out)
    small = json.loads(transfer("export", "last", "--to", "onnx", "--quantize", "int8", "--json").out)
    assert small["path"] == f"{name}-int8.onnx"
    assert small["bytes"] < whole["bytes"] / 3
    assert small["check"]["equal"] >= 0.95 * small["check"]["rows"]
