"""Data sets with domains: the domain of each row, whole domains, and error messages."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from transfer_cli.cli.main import main
from transfer_cli.contracts import Batch
from transfer_cli.data.open import describe_pair, open_raw
from transfer_cli.engine.loader import Address, StepLoader
from transfer_cli.engine.micro_batches import _slice
from transfer_cli.errors import DataError, TransferError
from transfer_cli.kinds.pictures import Pictures, evenly

INPUT = {"channels": 3, "size": 8, "crop": 8, "mean": [0.0] * 3, "std": [1.0] * 3}
MODEL = {"input": INPUT, "channels_last": False}
SIZES = {"art": 4, "photo": 8, "sketch": 12}  # pictures per class
SEEN = ("art", "photo")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """One folder per domain and class; the first channel encodes the domain, the second the class and the picture."""
    for place, (domain, count) in enumerate(SIZES.items()):
        for number, name in enumerate(("cat", "dog")):
            folder = tmp_path / "tree" / domain / name
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (8, 8), (50 * place, 100 * number + i, 0)).save(folder / f"{i:02}.png")
    return tmp_path / "tree"


def pair(tree: Path, data: dict[str, Any], source: dict[str, Any] | None = None) -> Any:
    values: dict[str, Any] = {"data": {"family": "folder", "path": str(tree), **data}}
    if source is not None:
        values["source"] = {"family": "folder", "path": str(tree), **source}
    return describe_pair(values, tree.parent / "cache")


def line(error: Any) -> str:
    return str(error.value.faults[0].line())


def test_several_domains_form_one_data_set_with_a_domain_per_row(tree: Path) -> None:
    _, source = pair(tree, {"domain": "sketch"}, {"domain": ["photo", "art"]})
    assert source.title == f"{tree} photo, art"
    assert (source.classes, source.raw.domains) == (("cat", "dog"), ("photo", "art"))
    for part in ("train", "val", "test"):
        rows = source.rows(part)
        device = torch.device("cpu")
        pixels = Pictures().store(source, rows.part, MODEL, tree.parent / "cache", device, lambda: None)
        pictures = Pictures().rows(pixels, source, rows, MODEL, device)
        inputs, labels = pictures.gather(torch.arange(len(rows.index)), "none", lambda: np.random.default_rng(0))
        colour = (255 * inputs["pixels"][:, :, 0, 0]).round().int()
        assert [["art", "photo"][value // 50] for value in colour[:, 0]] == [
            source.raw.domains[d] for d in rows.domains
        ]
        assert (colour[:, 1] // 100).tolist() == labels.tolist()
        assert [rows.name(i).split("/")[:2] for i in range(len(rows.index))] == [
            [source.raw.domains[d], source.classes[k]] for d, k in zip(rows.domains, rows.labels, strict=True)
        ]


def test_others_are_the_domains_that_the_target_does_not_use(tree: Path) -> None:
    for domain in SIZES:
        _, source = pair(tree, {"domain": domain}, {"domain": "others"})
        assert source.raw.domains == tuple(name for name in SIZES if name != domain)
    named = pair(tree, {"domain": "sketch"}, {"domain": list(SEEN)})[1]
    assert source.raw.domains == named.raw.domains
    assert source.fingerprint == named.fingerprint  # the same rows, whichever form the key has


def test_all_rows_of_a_whole_target_are_test_and_of_a_whole_source_training(tree: Path) -> None:
    target, source = pair(tree, {"domain": "sketch", "whole": True}, {"domain": "others", "whole": True})
    assert target.sizes() == {"train": 24, "test": 24}
    assert not target.has("val")
    assert not target.has("train")
    assert target.rows("train", labelled=False).index.tolist() == target.rows("test").index.tolist()
    assert source.sizes()["test"] == 0
    assert source.sizes()["train"] + source.sizes()["val"] == 24
    with pytest.raises(DataError) as error:
        target.key("train", labelled=True, seed=0)
    assert line(error).startswith(
        f"data.whole=true: all rows of {tree} sketch are test, so nothing may read their labels"
    )
    cut = pair(tree, {"domain": "sketch"})[0]
    assert cut.key("test", labelled=True, seed=0) != target.key("test", labelled=True, seed=0)


@pytest.mark.parametrize(
    ("data", "source", "text"),
    [
        ({"domain": "skech"}, None, "data.domain=skech: {} has no such domain; there are art, photo, sketch; nearest:"),
        ({"domain": "../tree/art"}, None, "data.domain=../tree/art: {} has no such domain"),
        ({"domain": "art"}, {"domain": ["photo", "photo"]}, "source.domain=photo, photo: names a domain twice"),
        ({"domain": list(SIZES)}, {"domain": "others"}, "source.domain=others: {} has only the domains that the other"),
        ({"domain": "art", "whole": True}, {"domain": ["art", "photo"]}, "source={} art, photo: has 8 files of {} art"),
        ({"domain": "art", "shift": "noisy", "shift_amount": 2.0}, None, "data.shift_amount=2: of noisy: 0 to 1"),
    ],
)  # fmt: skip
def test_invalid_domains_are_refused(tree: Path, data: Any, source: Any, text: str) -> None:
    with pytest.raises(TransferError) as error:
        pair(tree, data, source)
    assert line(error).startswith(text.replace("{}", str(tree)))


def test_domains_with_different_parts_are_refused(tree: Path) -> None:
    for part in ("train", "test"):
        for name in ("cat", "dog"):
            shutil.copytree(tree / "sketch" / name, tree / "cut" / part / name)
    with pytest.raises(DataError, match="photo and cut have different parts: only one of them has a part test"):
        pair(tree, {"domain": ["photo", "cut"]})
    with pytest.raises(DataError, match="is already split into train, test; only data without parts can be whole"):
        pair(tree, {"domain": "cut", "whole": True})


def test_a_batch_contains_the_domain_of_each_row(tree: Path) -> None:
    _, source = pair(tree, {"domain": "sketch"}, {"domain": "others", "whole": True, "val_fraction": 0.0})
    device = torch.device("cpu")
    rows = source.rows("train")
    pixels = Pictures().store(source, "train", MODEL, tree.parent / "cache", device, lambda: None)
    pictures = Pictures().rows(pixels, source, rows, MODEL, device)
    assert rows.domains is not None
    pictures.domains = torch.from_numpy(rows.domains)
    loader = StepLoader(pictures, Address(0, "align", "source"), batch=6)
    for t in range(8):
        batch = loader[t]
        colour = (255 * batch.inputs["pixels"][:, 0, 0, 0]).round().int() // 50
        assert batch.domains is not None
        assert batch.domains.tolist() == colour.tolist()  # art is 0, photo 1
        assert batch.domains.sum() == 4  # the same share as of all rows, 16 of 24
        halves = [_slice(batch, i, 2) for i in range(2)]
        assert torch.cat([half.domains for half in halves if half.domains is not None]).equal(batch.domains)
    whole = torch.cat([batch.domains for batch in loader.whole() if batch.domains is not None])
    assert whole.tolist() == [0] * 8 + [1] * 16


def test_data_without_domains_have_none(tree: Path) -> None:
    target, _ = pair(tree / "art", {})
    rows = target.rows("train")
    assert (target.raw.domains, rows.domains) == ((), None)
    assert Batch({}, None, torch.arange(2)).domains is None


@pytest.mark.parametrize("seed", range(3))
def test_evenly_reorders_rows_with_equal_shares_of_domains(seed: int) -> None:
    rng = np.random.default_rng(seed)
    domains = rng.permutation(np.repeat([0, 1, 2], [40, 80, 120]))
    order = rng.permutation(240)
    mixed = evenly(order, domains)
    assert sorted(mixed) == list(range(240))
    for domain in range(3):
        assert [row for row in mixed if domains[row] == domain] == [row for row in order if domains[row] == domain]
    counts = [np.bincount(domains[mixed[i : i + 12]], minlength=3) for i in range(0, 240, 12)]
    assert np.abs(np.array(counts) - [2, 4, 6]).max() <= 1


def test_several_domains_on_the_command_line(tree: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tree.parent)
    words = ["strategy=coral_dg", "source=./tree", "source.domain=[art,photo]", "data=./tree", "data.domain=sketch"]
    more = ["source.whole=true", "data.whole=true", "model=conv4", "trainer=tiny", "runtime=cpu", "--runs", "runs"]
    assert main(["run", *words, *more]) == 0
    told = capsys.readouterr()
    assert "coral_dg  tree art, photo → tree sketch" in told.err
    assert "tree sketch test 24" in told.err
    assert main(["run", *words, *more, "align=irm", "data.domain=ar"]) == 2  # given twice
    assert main(["run", *words[:-1], "data.domain=ar", *more]) == 4
    assert (
        "data.domain=ar: tree has no such domain; there are art, photo, sketch; nearest: art" in capsys.readouterr().err
    )
    assert main(["run", *words, *more, "fine_tune=full"]) == 4
    assert "data.whole=true: all rows of tree sketch are test" in capsys.readouterr().err


def test_several_domains_of_texts_are_one_table(tmp_path: Path, monkeypatch: Any) -> None:
    folder = tmp_path / "goods"
    folder.mkdir()
    for name, count in (("books", 3), ("dvd", 5)):
        lines = [f"{i % 2},{name} {i}" for i in range(count)]
        (folder / f"{name}.csv").write_text("\n".join(["label,text", *lines]))
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path))
    node = {"family": "text_table", "name": "goods", "train": "{domain}.csv", "domain": ["dvd", "books"]}
    raw = open_raw(node, tmp_path / "cache")
    rows = raw.parts["train"]
    assert (raw.name, raw.domains) == ("goods dvd, books", ("dvd", "books"))
    assert rows.rows is not None
    assert rows.domains is not None
    assert [text.split()[0] for text in rows.read()] == [raw.domains[domain] for domain in rows.domains]
    assert [int(text.split()[1]) % 2 for text in rows.read()] == rows.labels.tolist()
    assert [rows.names(row) for row in (0, 5)] == ["dvd.csv row 2", "books.csv row 2"]
    with pytest.raises(TransferError, match="wants the name of a domain"):
        open_raw({**node, "domain": ["dvd", "../books"]}, tmp_path / "cache")
