"""Views of a net that is scored: rows of a domain, of a group of classes, and all rows under attack."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from transfer_cli.contracts import Batch
from transfer_cli.data.open import describe_pair
from transfer_cli.engine.views import Attack
from transfer_cli.metrics.classification import classification
from transfer_cli.models.tensors import unpack
from transfer_cli.task_contracts import TaskContext
from transfer_cli.tasks.classify import Classify

Transfer = Callable[..., Any]
Json = dict[str, Any]
COMMON = ("trainer=tiny", "runtime=cpu", "strategy=scratch", "-q")


def evaluated(folder: Path) -> Path:
    """The stored evaluation of the only run there is."""
    (found,) = {path.parent for path in folder.glob("runs/.store/*/scores-final.safetensors")}
    return found


def long_rows(folder: Path) -> list[Json]:
    return list(json.loads((evaluated(folder) / "results.json").read_text())["views"])


def scores(folder: Path, rule: str = "final") -> dict[str, torch.Tensor]:
    return unpack((evaluated(folder) / f"scores-{rule}.safetensors").read_bytes())[0]


def value(rows: list[Json], **wanted: str) -> float:
    (row,) = (row for row in rows if wanted.items() <= row.items())
    return float(row["value"])


# domains and classes
SIZES = {"art": 10, "photo": 20, "sketch": 30}  # pictures a class


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder a domain, a folder a class."""
    rng = np.random.default_rng(0)
    for place, (domain, count) in enumerate(SIZES.items()):
        for number, name in enumerate(("cat", "dog", "hen")):
            folder = tmp_path / "tree" / domain / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 200, (28, 28, 3)) + 20 * number + 5 * place
                Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:02}.png")
    return tmp_path / "tree"


def test_a_view_is_scored_like_its_rows_alone_and_over_all_classes(
    transfer: Transfer, tree: Path, tmp_path: Path
) -> None:
    asked = "evaluate.views=[domains, {classes: [[0, 1], [2]]}]"
    data = (f"data={tree}", "data.domain=[art,photo,sketch]", "data.test_fraction=0.5")
    told = transfer("run", *data, "model=mlp", asked, *COMMON)
    assert told.code == 0, told.err
    rows, kept = long_rows(tmp_path), scores(tmp_path)
    names = ("domain art", "domain photo", "domain sketch", "classes cat to dog", "class hen")
    assert {row["view"] for row in rows} == set(names)
    assert all(row.keys() == {"net", "view", "task", "metric", "value", "lo", "hi", "n"} for row in rows)
    assert {row["task"] for row in rows} == {"classify"}
    settings = {"family": "folder", "path": str(tree), "domain": list(SIZES), "test_fraction": 0.5}
    test = describe_pair({"data": settings}, tmp_path / "cache")[0].rows("test")
    folder = [test.name(row) for row in range(len(test.index))]
    groups = {"classes cat to dog": kept["labels"] < 2, "class hen": kept["labels"] == 2}
    groups |= {f"domain {name}": torch.tensor([name in path for path in folder]) for name in SIZES}
    for name, mask in groups.items():
        expected = classification(kept["scores"][mask], kept["labels"][mask])
        for metric in ("accuracy", "nll", "f1"):
            assert value(rows, net="final", view=name, metric=metric) == expected[metric]
        assert {row["n"] for row in rows if row["view"] == name} == {int(mask.sum())}


def test_views_leave_the_results_themselves_as_they_are(transfer: Transfer, tmp_path: Path) -> None:
    found = []
    for more in ((), ("evaluate.views=[classes]",)):
        assert transfer("run", "data=digits", "model=mlp", *COMMON, *more).code == 0
        (run,) = (path for path in tmp_path.glob("runs/scratch-digits/*") if path not in [seen for seen, _ in found])
        found.append((run, json.loads((run / "results.json").read_text())["metrics"]))
    assert found[0][1] == found[1][1]


def test_every_mark_is_seen_in_every_view(transfer: Transfer, tmp_path: Path) -> None:
    told = transfer("run", "data=digits", "model=mlp", "fine_tune.marks=3", "evaluate.views=[classes]", *COMMON)
    assert told.code == 0, told.err
    rows = [row for row in long_rows(tmp_path) if row["metric"] == "accuracy"]
    nets = {row["net"] for row in rows}
    assert {"final", "at_1", "at_2", "at_3"} <= nets
    assert len(rows) == len(nets) * len({row["view"] for row in rows})
    views = {row["view"] for row in rows}
    assert all(
        value(rows, net="at_3", view=view) == value(rows, net="final", view=view) for view in views
    )  # the same weights


# attacks
class Rows:
    """A loader of pictures [N, 1, 2, 2] as a net reads them, in an order of its own."""

    def __init__(self, pixels: torch.Tensor, labels: torch.Tensor, chunk: int) -> None:
        self.pixels, self.labels, self.chunk = pixels, labels, chunk

    def whole(self, batch: int | None = None) -> Iterator[Batch]:
        for index in torch.arange(len(self.labels)).flip(0).split(self.chunk):
            yield Batch({"pixels": self.pixels[index]}, self.labels[index], index)


class Tiny(nn.Module):
    """A linear net on 4 pixels in float64, with the input spec of a real one."""

    input = SimpleNamespace(mean=(0.25,), std=(0.5,))

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, classes).double()

    def forward(self, inputs: dict[str, torch.Tensor], head: str | None = None) -> torch.Tensor:
        scores: torch.Tensor = self.layer(inputs["pixels"].double().flatten(1))
        return scores


PIXELS = torch.rand(7, 1, 2, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
LABELS = torch.arange(7) % 3
TASK = Classify(TaskContext(("a", "b", "c")))


def moved(attack: str, chunk: int = 7, eps: float = 0.1, steps: int = 1, rate: float | None = None) -> torch.Tensor:
    """PIXELS in 0..1 after an attack, in the order of the rows."""
    view = {"name": "x", "attack": attack, "eps": eps, "steps": steps, "rate": rate or eps}
    attacked = Attack(Tiny(), TASK, Rows((PIXELS - 0.25) / 0.5, LABELS, chunk), "fp32", view)  # type: ignore[arg-type]
    found = torch.empty_like(PIXELS)
    for batch in attacked.whole():
        found[batch.index] = batch.inputs["pixels"] * 0.5 + 0.25
    return found


def test_fgsm_goes_by_the_sign_of_the_gradient_in_units_of_pixels() -> None:
    """The gradient of softmax regression by hand; dividing by the standard deviation leaves its sign."""
    net = Tiny()
    x = ((PIXELS - 0.25) / 0.5).flatten(1)
    chance = net.layer(x).softmax(1).detach() - nn.functional.one_hot(LABELS, 3)
    slope = chance @ net.layer.weight.detach()
    expected = (PIXELS + 0.1 * slope.sign().view_as(PIXELS)).clamp(0, 1)
    torch.testing.assert_close(moved("fgsm"), expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
@pytest.mark.parametrize("eps", [0.02, 0.3])
def test_no_pixel_moves_further_than_eps(attack: str, eps: float) -> None:
    found = moved(attack, eps=eps, steps=1 if attack == "fgsm" else 7, rate=eps if attack == "fgsm" else eps / 3)
    assert (found - PIXELS).abs().max() <= eps + 1e-7
    assert -1e-7 <= found.min() <= found.max() <= 1 + 1e-7
    assert not torch.equal(found, PIXELS)


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_a_row_is_attacked_alike_in_whatever_batch(attack: str, chunk: int) -> None:
    torch.testing.assert_close(moved(attack, chunk, steps=3, rate=0.03), moved(attack, 7, steps=3, rate=0.03))


def test_the_random_start_is_drawn_for_each_row_and_is_always_the_same() -> None:
    """With a rate of almost nothing only the start is left."""
    start = moved("pgd", rate=1e-12) - PIXELS
    assert torch.equal(start, moved("pgd", rate=1e-12) - PIXELS)
    inside = (start.abs() < 0.0999).flatten(1).any(1)
    assert inside.all()
    assert len({tuple(row) for row in start.flatten(1).tolist()}) == 7
    assert torch.equal(moved("fgsm", rate=1e-12) - PIXELS > 1e-6, torch.zeros_like(PIXELS, dtype=torch.bool))


def test_under_attack_a_net_is_worse_and_more_steps_find_more(transfer: Transfer, tmp_path: Path) -> None:
    views = "[{attack: fgsm, eps: 0.1}, {attack: pgd, eps: 0.1, steps: 10}, {attack: pgd, eps: 0.2, steps: 10}]"
    more = ("trainer.steps=200", "trainer.optimizer=adamw", "trainer.lr=0.01", f"evaluate.views={views}")
    told = transfer("run", "data=digits", "model=mlp", *COMMON, *more)
    assert told.code == 0, told.err
    rows, kept = long_rows(tmp_path), scores(tmp_path)
    clean = classification(kept["scores"], kept["labels"])["nll"]
    names = ("attack fgsm 0.1", "attack pgd 0.1", "attack pgd 0.2")
    one, many, far = (value(rows, net="final", view=name, metric="nll") for name in names)
    assert clean < one < far
    assert clean < many < far
    assert {row["n"] for row in rows} == {len(kept["labels"])}


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ("data=digits", "model=mlp", "predictor=knn"),
            "an attack needs the gradient of the net's head, and predictor=knn",
        ),
        (("data=text",), "an attack changes pixels, and this model reads none"),
    ],
)
def test_what_cannot_be_attacked_is_told_before_any_training(
    words: tuple[str, ...], text: str, transfer: Transfer, tmp_path: Path
) -> None:
    told = transfer("run", *words, "evaluate.views=[fgsm]", *COMMON)
    assert told.code == 2, told.err
    assert f"error: evaluate.views=fgsm: {text}" in told.err
    assert not list(tmp_path.glob("runs/.store/*/DONE"))
