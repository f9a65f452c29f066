"""transfer explain: each method against an independent computation, then the command on pictures and texts."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pictures import cut_short, write_pictures
from PIL import Image
from torch import Tensor, nn

from transfer_cli.errors import DataError
from transfer_cli.explain import deletion, gradients
from transfer_cli.explain.explaining import Explaining, methods
from transfer_cli.explain.gradcam import gradcam, weighted
from transfer_cli.explain.occlusion import occlusion
from transfer_cli.explain.overlay import overlay
from transfer_cli.explain.rollout import Attention, rolled, rollout

Transfer = Callable[..., Any]


class Conv(nn.Module):
    """One convolution, the mean over places, a linear layer: Grad-CAM can be worked out by hand."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(2, 3, 3, padding=1), nn.Linear(3, 4)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.conv(pixels).mean((2, 3)))


class Vit(nn.Module):
    """Patches of 2 x 2, `front` tokens before them, two layers of attention without MLP."""

    def __init__(self, front: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patch, self.front = nn.Conv2d(1, 8, 2, 2), nn.Parameter(torch.randn(1, front, 8))
        self.qkv = nn.ModuleList(nn.Linear(8, 24) for _ in range(2))
        self.head = nn.Linear(8, 3)
        self.weights: list[Tensor] = []

    def forward(self, pixels: Tensor) -> Tensor:
        x = torch.cat([self.front.expand(len(pixels), -1, -1), self.patch(pixels).flatten(2).mT], 1)
        for layer in self.qkv:
            q, k, v = (part.unflatten(2, (2, 4)).transpose(1, 2) for part in layer(x).chunk(3, 2))
            self.weights.append((q @ k.mT / 2).softmax(-1))
            out = nn.functional.scaled_dot_product_attention(q, k, v)
            x = x + out.transpose(1, 2).flatten(2)
        return self.head(x[:, 0])


# Grad-CAM
def test_gradcam_of_a_net_that_can_be_worked_out_by_hand() -> None:
    """After a mean over n places the gradient of each map is its weight / n everywhere."""
    net, pixels = Conv(), torch.randn(1, 2, 5, 5)
    maps = net.conv(pixels)[0]
    for label in range(4):
        wanted = sum(net.head.weight[label, k] / 25 * maps[k] for k in range(3))
        assert torch.allclose(gradcam(net, net, pixels, label), wanted.clamp_min(0), atol=1e-7)


def test_gradcam_works_on_a_frozen_net_and_leaves_it_as_it_was() -> None:
    net = Conv().requires_grad_(False)
    assert gradcam(net, net, torch.randn(1, 2, 5, 5), 0).shape == (5, 5)
    assert not any(module._forward_hooks for module in net.modules())


def test_what_speaks_against_a_class_is_no_part_of_its_map() -> None:
    maps, against = torch.rand(3, 2, 2), -torch.rand(3, 2, 2)
    assert weighted(maps, against).tolist() == [[0, 0], [0, 0]]


# roll-out
def test_rolled_is_a_loop_over_paths() -> None:
    torch.manual_seed(0)
    layers = [torch.rand(2, 4, 4).softmax(-1) for _ in range(3)]
    steps = [(layer.mean(0) + torch.eye(4)) / 2 for layer in layers]
    wanted = torch.zeros(4, 4)
    for i in range(4):
        for j in range(4):
            for a in range(4):
                for b in range(4):
                    wanted[i, j] += steps[2][i, b] * steps[1][b, a] * steps[0][a, j]
    assert torch.allclose(rolled(layers), wanted, atol=1e-6)
    assert torch.allclose(rolled(layers).sum(1), torch.ones(4))


@pytest.mark.parametrize("front", [1, 3])
def test_rollout_sees_the_attention_that_a_net_computes(front: int) -> None:
    net, pixels = Vit(front), torch.randn(1, 1, 8, 8)
    found = rollout(net, pixels)
    wanted = rolled([weights[0].detach() for weights in net.weights])[0, front:].reshape(4, 4)
    assert torch.allclose(found, wanted, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"])
def test_attention_of_a_vit_of_timm_adds_up(name: str) -> None:
    timm = pytest.importorskip("timm")
    net = timm.create_model(name, num_classes=2, img_size=64, depth=2).eval()
    with Attention() as seen, torch.no_grad():
        net(torch.randn(1, 3, 64, 64))
    assert len(seen.weights) == 2
    assert seen.can_be_followed()
    assert torch.allclose(seen.weights[0].sum(-1), torch.ones(()))
    assert rollout(net, torch.randn(1, 3, 64, 64)).shape == (4, 4)


def test_a_masked_attention_is_noted_as_it_is_computed() -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 1, 4, 2) for _ in range(3))
    mask = torch.tensor([[True, True, False, True]])
    for given in (mask, torch.where(mask, 0.0, -torch.inf)):
        with Attention() as seen:
            out = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=given)
        assert torch.allclose(seen.weights[0] @ v, out, atol=1e-6)


# occlusion
def test_occlusion_is_a_loop_over_patches() -> None:
    net, pixels, step = Conv().eval(), torch.randn(1, 2, 6, 6), 2
    before = net(pixels).softmax(1)[0, 1].item()
    total = np.zeros((6, 6))
    for top in range(-step, 6, step):
        for left in range(-step, 6, step):
            covered, hit = pixels.clone(), np.zeros((6, 6), bool)
            for y in range(max(0, top), min(6, top + 2 * step)):
                for x in range(max(0, left), min(6, left + 2 * step)):
                    covered[0, :, y, x], hit[y, x] = 0, True
            total += hit * (before - net(covered).softmax(1)[0, 1].item())
    np.testing.assert_allclose(occlusion(net, pixels, 1, step).numpy(), total / 4, atol=1e-6)


# gradients
def test_gradients_of_a_linear_net_add_up_to_its_score() -> None:
    net, pixels = nn.Sequential(nn.Flatten(), nn.Linear(18, 3)), torch.randn(1, 2, 3, 3)
    got = gradients.of_pixels(net, pixels, 2)
    assert got.shape == (3, 3)
    assert got.sum().item() == pytest.approx((net(pixels) - net(torch.zeros_like(pixels)))[0, 2].item(), abs=1e-5)


def test_gradients_of_tokens_add_up_and_pass_by_the_positions() -> None:
    torch.manual_seed(0)
    words, places, head = nn.Embedding(10, 4), nn.Embedding(5, 4), nn.Linear(4, 2)
    net = nn.ModuleList([places, words, head])
    ids = torch.tensor([[7, 3, 3]])

    def scores(inputs: dict[str, Tensor]) -> Tensor:
        return head(places(torch.arange(3)[None]).mean(1) + words(inputs["ids"]).sum(1))

    got = gradients.of_tokens(net, scores, {"ids": ids}, 1)
    wanted = (words(ids)[0] * head.weight[1]).sum(-1)
    assert torch.allclose(got, wanted, atol=1e-6)


# deletion
def test_the_deletion_test_takes_away_what_is_marked() -> None:
    """Only the corner counts: without it the class falls to a coin's chance, without the rest it stays."""
    pixels = torch.zeros(1, 1, 10, 10)
    pixels[0, 0, :2, :2] = 1

    def scores(x: Tensor) -> Tensor:
        return torch.stack([x[:, 0, :2, :2].sum((1, 2)), torch.zeros(len(x))], 1)

    mask = deletion.marked(pixels[0, 0], 0.04)
    assert mask.nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    found = deletion.of_pixels(scores, pixels, mask, 0)
    assert found.before == pytest.approx(torch.tensor([4.0, 0]).softmax(0)[0].item())
    assert found.without == pytest.approx(0.5)
    assert found.random > 0.9


def test_the_deletion_test_of_a_text() -> None:
    ids = torch.tensor([[9, 1, 0, 0, 0, 8]])

    def scores(inputs: dict[str, Tensor]) -> Tensor:
        return torch.stack([4.0 * (inputs["ids"] == 1).sum(1), torch.zeros(1)], 1)

    mask, free = torch.zeros(6, dtype=torch.bool), torch.tensor([False, True, True, True, True, False])
    mask[1] = True
    found = deletion.of_tokens(scores, {"ids": ids}, mask, free, 0)
    assert (found.without, found.before) == (0.5, pytest.approx(0.982, abs=1e-3))
    assert 0.5 < found.random < found.before


def test_marked_are_the_largest_and_never_none() -> None:
    values = torch.tensor([0.1, 0.9, 0.5, 0.9, 0.0])
    assert deletion.marked(values).tolist() == [False, True, False, False, False]
    assert deletion.marked(values, 0.4).tolist() == [False, True, False, True, False]
    assert int(deletion.marked(torch.zeros(2)).sum()) == 1


# which method, and how it looks
def test_the_method_follows_the_net() -> None:
    pixels = torch.randn(1, 2, 8, 8)
    conv, vit, mlp = Conv(), Vit(), nn.Sequential(nn.Flatten(), nn.Linear(128, 3))
    assert methods(conv, conv, pixels)[0] == "gradcam"
    assert methods(vit, vit, pixels[:, :1])[0] == "rollout"
    assert methods(mlp, mlp, pixels) == ("occlusion", "gradients")


def test_a_drawing_is_brighter_where_the_map_is_larger() -> None:
    values = np.zeros((8, 8))
    values[2:4, 2:4] = 1
    drawn = overlay(np.full((1, 8, 8), 128, np.uint8), values, values > 0)
    assert (drawn.mode, drawn.size) == ("RGB", (256, 256))
    pixels = np.asarray(drawn).astype(int)
    assert pixels[96, 96].sum() > pixels[10, 10].sum() + 100
    assert (pixels[64, 64:128] == 255).all()
    assert not (pixels[96, 96] == 255).all()
    overlay(np.zeros((3, 8, 8), np.uint8), np.zeros((8, 8)), np.zeros((8, 8), bool))  # a map of nothing


# the command
@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    write_pictures(tmp_path / "pics" / "train")
    return write_pictures(tmp_path / "pics" / "test", count=5)


def run(transfer: Transfer, *words: str) -> str:
    told = transfer("run", "-q", "trainer=tiny", *words)
    assert told.code == 0, told.err
    return str(told.out.strip()[-6:])


def test_pictures_get_a_drawing_for_each_likely_class(transfer: Transfer, pictures: Path, tmp_path: Path) -> None:
    name = run(transfer, "data=./pics", "model=mlp", "strategy=scratch")
    told = transfer("explain", name, "pics/test/cat", "--json")
    assert told.code == 0, told.err
    rows = json.loads(told.out)["rows"]
    assert {row["path"] for row in rows} == {f"pics/test/cat/{i:02}.png" for i in range(5)}
    assert {row["by"] for row in rows} == {"occlusion"}
    for row in rows:
        assert min(Image.open(tmp_path / row["drawing"]).size) >= 256
        assert row["drawing"].startswith(f"explain/{Path(row['path']).stem}-{row['class']}")
    before = {path: path.read_bytes() for path in (tmp_path / "explain").iterdir()}
    again = transfer("explain", name, "pics/test/cat/00.png", "--by", "gradients")
    assert (again.code, again.errors[0][:19]) == (2, "error: explain/00-c")
    assert again.errors[1] == "  do: -y replaces what is there, -o FOLDER draws elsewhere"
    assert {path: path.read_bytes() for path in (tmp_path / "explain").iterdir()} == before
    shown = transfer("explain", name, "pics/test/dog/00.png", "--by", "gradients", "-y", "--format", "table")
    assert (shown.code, "without the marked 20 %: " in shown.out) == (0, True)
    cut_short(pictures / "cat" / "01.png")
    told = transfer("explain", name, "pics/test/cat/01.png", "pics/test/cat/02.png", "-o", "more")
    assert (told.code, len(told.out.splitlines()) > 1, "01.png" in told.errors[0]) == (4, True, True)
    for argv, line in (
        (["--by", "rollout"], "error: --by=rollout: the answers of this run are explained by occlusion or gradients"),
        (["--by", "gradcm"], "error: --by=gradcm: one of gradcam, rollout, occlusion, gradients; nearest: gradcam"),
    ):
        told = transfer("explain", name, "pics/test/cat/02.png", *argv)
        assert (told.code, told.errors[0]) == (2, line)
    assert transfer("explain", name).errors[0] == "error: explain: needs a run and a picture, a folder or a text"


def test_texts_get_their_words_weighed(transfer: Transfer, tmp_path: Path) -> None:
    lines = [f"{'good' if i % 2 else 'bad'} word{i % 7} and more,{i % 2}" for i in range(60)]
    (tmp_path / "texts.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    name = run(transfer, "data=./texts.csv", "model=embedding_bag", "strategy=scratch", "trainer.steps=40")
    text = "good word3 and more"
    rows = json.loads(transfer("explain", name, text, "--json").out)["rows"]
    assert "".join(piece for piece, _ in rows[0]["tokens"]) == text.replace(" ", "")
    colored = transfer("explain", name, text, "--format", "table", "--color", "always").out
    plain = colored.replace("\x1b[32m", "").replace("\x1b[31m", "").replace("\x1b[0m", "")
    assert "\x1b[3" in colored
    assert f"\n  {text}\n" in plain
    (tmp_path / "new.txt").write_text(f"{text}\n\x1b]0;evil\x07 bad\n")
    told = transfer("explain", name, "new.txt", "--format", "table")
    assert told.code == 0, told.err
    assert told.out.startswith("new.txt row 1  ")
    assert "\x1b" not in told.out
    assert transfer("explain", name, "").code == 4


def test_a_predictor_on_pictures_is_explained_by_occlusion(transfer: Transfer, pictures: Path) -> None:
    run(transfer, "data=./pics", "model=mlp", "strategy=knn", "source=digits")
    told = transfer("explain", "last", "pics/test/dog/00.png", "--json")
    assert told.code == 0, told.err
    assert json.loads(told.out)["rows"][0]["by"] == "occlusion"
    assert transfer("explain", "last", "pics/test/dog/00.png", "--by", "gradients").code == 2


def test_a_map_of_nothing_gives_way_to_occlusion() -> None:
    """Where every map speaks against the class, Grad-CAM is 0 everywhere and would mark the first pixels."""
    net = Conv()
    with torch.no_grad():
        net.conv.weight.zero_()
        net.conv.bias.fill_(1)
        net.head.weight.fill_(-1)

    def inputs(shown: Any) -> dict[str, Tensor]:
        return {"pixels": torch.from_numpy(np.stack(shown)).float() / 255}

    predicting: Any = SimpleNamespace(
        kind=SimpleNamespace(explained="maps"),
        differentiable=True,
        net=net,
        classes=list("abcd"),
        inputs=inputs,
        scores=lambda batch: net(batch["pixels"]),
        opened=lambda image: np.asarray(image.convert("LA")).transpose(2, 0, 1),
    )
    picture = Image.new("L", (8, 8), 200)
    assert Explaining(predicting).picture(picture).reasons[0].by == "occlusion"
    with pytest.raises(DataError, match="gradcam finds no evidence for"):
        Explaining(predicting, "gradcam").picture(picture)
