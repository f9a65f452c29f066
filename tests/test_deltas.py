"""A stage stores what it changed: which tensors, what its files then need, and what happens when that is not there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from transfer_cli.models.tensors import pack, parse, same_bits, unpack
from transfer_cli.store.store import Store

Transfer = Callable[..., Any]
WORDS = ("data=digits", "source=digits", "model=mlp", "trainer=tiny", "runtime.threads=1")
HEAD = {"net.heads.classify.weight", "net.heads.classify.bias"}
QUICK = {"linear_probe": ("fine_tune.solver=ridge", "fine_tune.l2=1.0")}
HIDDEN = (256, 128)


def run(transfer: Transfer, *words: str) -> Path:
    told = transfer("run", "-q", *WORDS, *words)
    assert told.code == 0, told.err
    return Path(told.out.strip())


def results(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "results.json").read_text()))


def store_of(folder: Path) -> Store:
    return Store(folder.parents[1] / ".store")


def key(folder: Path, name: str) -> str:
    (found,) = [stage["key"] for stage in results(folder)["stages"] if stage["name"] == name]
    return str(found)


def stored(folder: Path, name: str = "fine_tune") -> set[str]:
    """Names of the tensors in a stage's file."""
    return set(parse(store_of(folder).read(key(folder, name), "model-final.safetensors"))[0])


def whole(folder: Path, name: str) -> dict[str, Any]:
    """All tensors of a stage, by its file and the one it needs: independently of the program's reader."""
    tensors = parse(store_of(folder).read(key(folder, name), "model-final.safetensors"))[0]
    (need,) = store_of(folder).needs(key(folder, name))
    return parse(store_of(folder).read(need[0], need[1]))[0] | tensors


# what is stored
@pytest.mark.parametrize(
    ("strategy", "own"),
    [
        ("linear_probe", set()),
        ("lora", {f"net.backbone.layers.{i}.0.lora_{part}" for i in (0, 1) for part in ("down", "up")}),
        ("bitfit", {f"net.backbone.layers.{i}.0.bias" for i in (0, 1)}),
        ("partial", {f"net.backbone.layers.1.0.{part}" for part in ("weight", "bias")}),
    ],
)
def test_a_stage_stores_what_it_changed_and_names_the_rest(strategy: str, own: set[str], transfer: Transfer) -> None:
    folder = run(transfer, f"strategy={strategy}", *QUICK.get(strategy, ()))
    assert stored(folder) == own | HEAD
    store, found = store_of(folder), results(folder)
    rule = found["stages"][0]["rule"]
    parent = key(folder, "pretrain")
    file = f"model-{rule}.safetensors"
    assert store.needs(key(folder, "fine_tune")) == [(parent, file, store.digest(parent, file))]
    tensors = parse(store.read(key(folder, "fine_tune"), "model-final.safetensors"))[0]
    assert found["cost"]["trained"] == sum(tensor.numel() for tensor in tensors.values())
    assert found["cost"]["bytes"] == store.files(key(folder, "fine_tune"))["model-final.safetensors"]
    assert found["cost"]["bytes"] < 4 * found["cost"]["trained"] + 2000  # names and descriptions beside the numbers
    assert stored(folder, "pretrain") >= {f"net.backbone.layers.{i}.0.weight" for i in (0, 1)}


def test_the_delta_of_lora_by_hand(transfer: Transfer) -> None:
    folder = run(transfer, "strategy=lora", "fine_tune.rank=2")
    pixels = results(folder)["config"]["model"]["input"]["crop"] ** 2
    (first, second), classes = HIDDEN, 10
    delta, head = 2 * (pixels + first) + 2 * (first + second), (second + 1) * classes
    weights = pixels * first + first + first * second + second
    cost = results(folder)["cost"]
    assert (cost["trained"], cost["parameters"]) == (delta + head, weights + delta + head)


@pytest.mark.parametrize("strategy", ["scratch", "fine_tune"])
def test_what_changed_altogether_or_began_with_nothing_stands_alone(strategy: str, transfer: Transfer) -> None:
    folder = run(transfer, f"strategy={strategy}")
    assert len(stored(folder)) == 6
    assert store_of(folder).needs(key(folder, "fine_tune")) == []
    assert "needs.json" not in store_of(folder).files(key(folder, "fine_tune"))


def test_same_bits_tells_what_equality_does_not() -> None:
    nought, odd = torch.zeros(3), torch.tensor([1.0, float("nan")])
    assert same_bits(odd, odd.clone())
    assert not same_bits(nought, -nought)
    assert not same_bits(nought, nought.double())
    assert not same_bits(nought, nought.view(1, 3))
    grid = torch.arange(24.0).view(1, 2, 3, 4)
    assert same_bits(grid, grid.to(memory_format=torch.channels_last))
    assert same_bits(torch.tensor(3), torch.tensor(3))
    assert not same_bits(torch.tensor(True), torch.tensor(False))


# nets that rest on others
@pytest.mark.parametrize("strategy", ["none", "lora", "adapter", "fine_tune", "linear_probe"])
def test_a_run_may_begin_from_lora(strategy: str, transfer: Transfer) -> None:
    """`lora` gives grafts of the same kind, `fine_tune` changes all of them and the base."""
    first = run(transfer, "strategy=lora")
    second = run(transfer, f"weights={first}", f"strategy={strategy}", *QUICK.get(strategy, ()))
    if strategy == "none":
        assert results(second)["headline"] == results(first)["headline"]
        return
    deltas = {f"net.backbone.layers.{i}.0.lora_{part}" for i in (0, 1) for part in ("down", "up")}
    names = stored(second)
    assert names >= HEAD
    assert (deltas <= names) == (strategy in ("lora", "fine_tune"))
    base = {f"net.backbone.layers.{i}.0.weight" for i in (0, 1)}
    assert (base <= names) == (strategy in ("lora", "fine_tune"))  # LoRA folds that of before into the weights


def test_a_chain_of_stages_is_read_to_its_end(transfer: Transfer) -> None:
    """Pretrain, LoRA, head: the last file holds the head, the net is all three."""
    first = run(transfer, "strategy=lora")
    second = run(transfer, f"weights={first}", "strategy=linear_probe", *QUICK["linear_probe"])
    assert stored(second) == HEAD
    assert stored(first) & stored(second) == HEAD
    whole_first = whole(first, "fine_tune")
    lora = {name: tensor for name, tensor in whole_first.items() if "backbone" in name}
    read = {name: tensor for name, tensor in whole(second, "fine_tune").items() if "lora" in name}
    assert read
    assert all(same_bits(tensor, lora[name]) for name, tensor in read.items())
    assert run(transfer, f"weights={second}", "strategy=none").exists()


def test_the_file_alone_is_refused_with_what_to_do(transfer: Transfer) -> None:
    folder = run(transfer, "strategy=linear_probe", *QUICK["linear_probe"])
    file = folder / "checkpoints" / "fine_tune-final.safetensors"
    told = transfer("run", *WORDS, f"weights={file}", "strategy=none")
    assert told.code == 5
    assert "holds only what its stage changed; name the run instead, weights=RUN" in told.err


def test_clean_keeps_what_a_kept_stage_needs(transfer: Transfer) -> None:
    first = run(transfer, "strategy=lora")
    store, (parent, child) = store_of(first), (key(first, "pretrain"), key(first, "fine_tune"))
    second = run(transfer, f"weights={first}", "strategy=knn")
    shutil.rmtree(first)
    assert transfer("clean", "-y").code == 0
    assert {parent, child} <= set(store.keys())
    assert run(transfer, f"weights={second}", "strategy=none").exists()
    for folder in second.parent.parent.glob("[!.]*"):
        shutil.rmtree(folder)
    assert transfer("clean", "-y").code == 0
    assert store.keys() == []


# parents that are damaged
def spoil(store: Store, stage: str, name: str) -> None:
    path = store.path(stage) / name
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def parent_file(folder: Path) -> tuple[str, str]:
    return key(folder, "pretrain"), f"model-{results(folder)['stages'][0]['rule']}.safetensors"


def test_a_damaged_parent_is_computed_again_and_the_stage_on_it_stays(transfer: Transfer) -> None:
    folder = run(transfer, "strategy=lora")
    spoil(store_of(folder), *parent_file(folder))
    told = transfer("run", *WORDS, "strategy=lora", "predictor=knn")  # evaluation reads the net again
    assert told.code == 0, told.err
    assert told.err.count("failed its checksum, retraining") == 1
    again = {line.split()[1]: line.split()[2] for line in told.err.splitlines() if "Z " in line}
    assert (again["pretrain"], again["fine_tune"]) == ("done", "cached")


def replace(store: Store, stage: str) -> None:
    """The parent as another machine would have computed it: every file of weights is a little different."""
    names = store.files(stage)
    contents = {name: store.read(stage, name) for name in names}
    with store.claim(stage, owner="test") as claim:
        claim.start_over()
        for name, data in contents.items():
            if name.startswith("model-"):
                tensors, meta = unpack(data)
                data = pack({n: x + 1e-3 if x.is_floating_point() else x for n, x in tensors.items()}, meta)
            claim.put(name, data)
        claim.finish()


@pytest.mark.parametrize("more", [[], ["predictor=knn"]])
def test_a_stage_on_another_parent_is_computed_again(more: list[str], transfer: Transfer) -> None:
    folder = run(transfer, "strategy=lora")
    store, child = store_of(folder), key(folder, "fine_tune")
    before = store.read(child, "model-final.safetensors")
    replace(store, key(folder, "pretrain"))
    assert not store.verify(child)
    told = transfer("run", *WORDS, "strategy=lora", *more)
    assert told.code == 0, told.err
    assert store.verify(child)
    assert store.read(child, "model-final.safetensors") != before
    again = {line.split()[1]: line.split()[2] for line in told.err.splitlines() if "Z " in line}
    assert (again["pretrain"], again["fine_tune"]) == ("cached", "done")


@pytest.mark.parametrize("how", ["gone", "damaged", "another"])
def test_a_parent_of_another_run_is_named_in_one_line(how: str, transfer: Transfer) -> None:
    folder = run(transfer, "strategy=lora")
    store, (parent, file) = store_of(folder), parent_file(folder)
    {"gone": lambda: store.remove(parent), "damaged": lambda: spoil(store, parent, file)}.get(
        how, lambda: replace(store, parent)
    )()
    told = transfer("run", *WORDS, f"weights={folder}", "strategy=none")
    assert told.code == 5
    assert told.err.count("error: ") == 1
    assert "or no longer in the store\n  do: run that run's words again" in told.err
    assert transfer("run", "-q", *WORDS, "strategy=lora").code == 0
    assert transfer("run", "-q", *WORDS, f"weights={folder}", "strategy=none").code == 0


# words
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["fine_tune=lora", "fine_tune.layers=[nope]"],
            "fine_tune.layers=['nope']: no layer name ends with one of these; there are",
        ),
        (["fine_tune=lora", "fine_tune.rank=0"], "fine_tune.rank=0: "),
        (["fine_tune=adapter", "fine_tune.bottleneck=0"], "fine_tune.bottleneck=0: "),
    ],
)
def test_a_wrong_word_is_told_before_anything_is_trained(
    words: list[str], line: str, transfer: Transfer, tmp_path: Path
) -> None:
    told = transfer("run", *WORDS, "strategy=fine_tune", *words)
    assert told.code == 2
    assert told.errors[0].startswith(f"error: {line}")
    assert list(tmp_path.glob("runs/.store/*/DONE")) == []
