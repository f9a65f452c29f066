"""Self-supervised pretraining: contrast, turns and hidden patches against their formulas, computed another way on small
data; and runs that begin with it."""

import math

import numpy as np
import pytest
import torch
from adapting import EVERY, batch, both, double, given, net, noise, one, run, trained

from transfer_cli.contracts import Batch, MethodInputs
from transfer_cli.errors import ConfigError
from transfer_cli.losses.contrast import nt_xent
from transfer_cli.losses.masked import hidden_patches, masked_error
from transfer_cli.methods.mae import Decoder, Mae
from transfer_cli.methods.rotation import Rotation, rotated
from transfer_cli.methods.simclr import Simclr
from transfer_cli.models.net import build


# losses
@pytest.mark.parametrize(("rows", "temperature"), [(2, 0.5), (7, 0.1)])
def test_nt_xent_equals_the_double_loop(rows, temperature):
    first, second = double(rows, 5), double(rows, 5, seed=1)
    views = np.concatenate([first.numpy(), second.numpy()])
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    total = 0.0
    for i in range(2 * rows):
        near = {j: math.exp(views[i] @ views[j] / temperature) for j in range(2 * rows) if j != i}
        total -= math.log(near[(i + rows) % (2 * rows)] / sum(near.values()))
    assert nt_xent(first, second, temperature).item() == pytest.approx(total / (2 * rows), rel=1e-12)


def test_nt_xent_knows_no_sides_no_order_and_no_lengths():
    first, second = double(6, 4), double(6, 4, seed=1)
    expected = nt_xent(first, second, 0.3)
    torch.testing.assert_close(nt_xent(second, first, 0.3), expected)
    torch.testing.assert_close(nt_xent(first.flip(0), 7 * second.flip(0), 0.3), expected)
    assert nt_xent(first, first, 0.3) < expected


@pytest.mark.parametrize(("first", "second"), [((1, 3), (1, 3)), ((4, 3), (4, 2)), ((4,), (4,))])
def test_nt_xent_refuses_shapes(first, second):
    with pytest.raises(ValueError, match=r"nt_xent: .* expected \[rows >= 2, features\] twice"):
        nt_xent(torch.zeros(first), torch.zeros(second), 0.5)


@pytest.mark.parametrize(("side", "patch", "share", "count"), [(16, 4, 0.75, 12), (9, 4, 0.5, 4), (8, 8, 0.1, 1)])
def test_so_many_patches_are_hidden_in_each_picture(side, patch, share, count):
    torch.manual_seed(0)
    hidden = hidden_patches(torch.zeros(50, 2, side, side), patch, share)
    assert hidden.shape == (50, 1, side, side)
    corners = hidden[:, 0, ::patch, ::patch]
    assert (corners.flatten(1).sum(1) == count).all()
    assert torch.equal(corners.repeat_interleave(patch, 1).repeat_interleave(patch, 2)[:, :side, :side], hidden[:, 0])
    if count < corners[0].numel():
        assert len({tuple(row) for row in corners.flatten(1).tolist()}) > 1


def test_masked_error_sees_hidden_pixels_alone():
    truth, hidden = noise(3, 2, 4, 4), torch.zeros(3, 1, 4, 4, dtype=torch.bool)
    hidden[:, :, :2] = True
    made = torch.where(hidden, truth + 2, 100.0)
    assert masked_error(made, truth, hidden).item() == pytest.approx(4.0, rel=1e-5)


# methods
def test_turned_pictures_know_by_how_much():
    pixels = noise(2, 1, 5, 5)
    copies, turns = rotated(pixels)
    assert turns.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    for copy, quarters in zip(copies, turns.tolist(), strict=True):
        back = np.rot90(copy[0].numpy(), -quarters)
        assert any(np.array_equal(back, picture[0].numpy()) for picture in pixels)


def test_rotation_learns_to_tell_turns():
    picture = torch.linspace(-1, 1, 16).view(1, 1, 1, 16).expand(30, 1, 16, 16) + 0.1 * noise(30, 1, 16, 16)
    rows = {"target": Batch({"pixels": picture}, None, EVERY)}
    assert trained(Rotation(given()), rows, 10).logs["right"] > 0.95


def test_simclr_contrasts_each_side_by_itself():
    method, rows = Simclr(given(), width=5, temperature=0.2).eval(), both(views=2)
    rows["source"] = batch(views=2)
    expected = {
        name: nt_xent(*(method.project(method.net.features(view)) for view in rows[name].views), 0.2) for name in rows
    }
    loss = one(method, rows)
    torch.testing.assert_close(dict(loss.logs), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss.value, (expected["source"] + expected["target"]) / 2, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one(method, {"target": rows["target"]}).value, expected["target"], rtol=1e-4, atol=1e-5)


def test_mae_sees_no_hidden_pixel():
    """What is behind the patches changes what is to be guessed, not the guess."""
    method, rows = Mae(given(), share=0.5).eval(), both()
    seen = []
    method.net.backbone.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(kwargs["pixels"]), with_kwargs=True
    )
    torch.manual_seed(3)
    one(method, rows)
    torch.manual_seed(3)
    pixels = torch.cat([rows["source"].inputs["pixels"], rows["target"].inputs["pixels"]])
    hidden = hidden_patches(pixels, 4, 0.5)
    torch.testing.assert_close(seen[0], torch.where(hidden, 0.0, pixels))


@pytest.mark.parametrize("side", [3, 16, 28])
def test_the_decoder_draws_pictures_of_the_right_size(side):
    assert Decoder(7, 3, side, 4)(noise(2, 7)).shape == (2, 3, side, side)


@pytest.mark.parametrize("kind", [Rotation, Simclr, Mae])
def test_pretext_learns_the_backbone_and_hands_it_on_alone(kind):
    method, rows = kind(given()), both(views=2)
    rows["source"] = batch(views=2)
    first, head = next(method.net.backbone.parameters()).detach().clone(), method.net.heads["classify"].weight.clone()
    trained(method, rows, 2)
    handed = method.result()["net"]
    assert not torch.equal(next(handed.backbone.parameters()), first)
    assert torch.equal(handed.heads["classify"].weight, head)
    assert set(handed.heads) == {"classify"}
    assert handed.state_dict().keys() == net().state_dict().keys()


@pytest.mark.parametrize(("kind", "name"), [(Rotation, "rotation"), (Mae, "mae")])
def test_pretext_of_pictures_refuses_other_rows(kind, name):
    made = build({"family": "mlp", "input": {"width": 4}, "precision": "fp32", "channels_last": False})
    with pytest.raises(ConfigError, match=rf"pretrain={name}: learns from images, and the net does not read images"):
        kind(MethodInputs(made))


# runs
@pytest.mark.parametrize("pretext", ["rotation", "simclr", "mae"])
def test_self_supervised_then_aligned_then_few_labels(pretext, tmp_path):
    mixed = (f"pretrain={pretext}", "align=coral", "fine_tune=full", "source=digits", "data.shots=5", "model=lenet")
    found, specs = run(tmp_path, *mixed)
    assert 0 <= found["headline"]["value"] <= 1
    assert {stream: view["side"] for stream, view in specs["pretrain"]["streams"].items()} == {
        "source": "source", "target": "target",
    }  # fmt: skip
    assert not any(view["labelled"] for view in specs["pretrain"]["streams"].values())
    assert specs["align"]["net"]["key"] == found["stages"][0]["key"]
    assert found["cost"]["labels"] == 50


def test_without_a_source_the_target_is_enough(tmp_path):
    _, specs = run(tmp_path, "pretrain=simclr", "source=none", "data.shots=5", "model=mlp")
    assert list(specs["pretrain"]["streams"]) == ["target"]
