"""Nets: shapes, blocks, heads, rebuilding, and that names and YAMLs agree with the code."""

import inspect
import typing
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from transfer_cli.errors import ConfigError
from transfer_cli.kinds.pictures import InputSpec
from transfer_cli.models import torchvision as family_file
from transfer_cli.models.backbone import Backbone
from transfer_cli.models.net import Net, build, family, rebuild

CONF = Path(__file__).parents[1] / "conf" / "model"
YAMLS = sorted(CONF.glob("*.yaml"))
SMALL = ("mlp", "lenet", "conv4", "resnet20")
FAMILIES = {"mlp", "lenet", "conv4", "cifar_resnet", "torchvision", "transformers", "embedding_bag", "identity"}
FAMILIES |= {"timm", "transformers_image"}
SOME = ("resnet18", "squeezenet1_0", "mobilenet_v3_small", "vit_b_16", "densenet121", "swin_t", "googlenet")


def node(word: str, /, **changes: Any) -> dict[str, Any]:
    return yaml.safe_load((CONF / f"{word}.yaml").read_text()) | changes


def picture(channels: int = 1, crop: int = 28) -> dict[str, Any]:
    return {"channels": channels, "size": crop, "crop": crop, "mean": [0.5] * channels, "std": [0.5] * channels}


@pytest.fixture
def _without_memory():
    """Parameters on the meta device: ViT in milliseconds."""
    with torch.device("meta"):
        yield


@pytest.mark.parametrize("path", YAMLS, ids=lambda p: p.stem)
def test_every_yaml_names_a_family_and_only_its_keys(path: Path) -> None:
    settings = node(path.stem)
    keys = {
        p.name for p in inspect.signature(family(settings["family"])).parameters.values() if p.kind is p.KEYWORD_ONLY
    }
    assert set(settings) == keys | {"family", "input", "precision", "channels_last"}
    assert settings["precision"] in ("fp32", "bf16", "auto")
    assert "transfer run" in path.read_text().splitlines()[0]


def test_the_yamls_reach_every_family_and_spell_out_its_defaults() -> None:
    assert {node(p.stem)["family"] for p in YAMLS} == FAMILIES
    for name in FAMILIES & {p.stem for p in YAMLS}:
        parameters = inspect.signature(family(name)).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
        given = {k: tuple(v) if isinstance(v, list) else v for k, v in node(name).items() if k in defaults}
        assert given == defaults


def test_torchvision_has_just_the_names_of_the_installed_package() -> None:
    import torchvision.models

    assert list(typing.get_args(family_file.Name)) == torchvision.models.list_models(module=torchvision.models)


@pytest.mark.parametrize("name", SMALL)
def test_a_small_net_gives_features_and_scores(name: str) -> None:
    net = build(node(name))
    net.set_head("classify", ["a", "b", "c"])
    inputs = {"pixels": net.input.blank(2)}
    assert net.features(inputs).shape == (2, net.width)
    assert net(inputs).shape == net(inputs, "classify").shape == (2, 3)


@pytest.mark.parametrize("name", ["mlp_vectors", "identity"])
def test_a_net_of_vectors_gives_features_and_scores(name: str) -> None:
    net = build(node(name, input={"width": 5}))
    net.set_head("classify", ["a", "b", "c"])
    vectors = torch.randn(4, 5)
    assert net({"vectors": vectors}).shape == (4, 3)
    assert torch.equal(net.features({"vectors": vectors}), vectors) == (name == "identity")
    again = rebuild(net.describe())
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.eval()({"vectors": vectors}), net.eval()({"vectors": vectors}))


def test_a_standardised_mlp_does_not_feel_the_scale_of_columns() -> None:
    net = build(node("mlp_vectors", input={"width": 3}))
    vectors = torch.randn(64, 3)
    moved = vectors * torch.tensor([1.0, 100.0, 1e4]) + torch.tensor([0.0, 7.0, -500.0])
    first, second = (net.train().features({"vectors": x}) for x in (vectors, moved))
    torch.testing.assert_close(first, second, rtol=1e-3, atol=1e-3)


def test_identity_reads_nothing_but_vectors() -> None:
    with pytest.raises(ConfigError, match=r"model\.input: identity reads vectors and needs a width"):
        build(node("identity", input=picture()))


@pytest.mark.parametrize(("channels", "crop"), [(1, 16), (3, 32), (4, 45)])
@pytest.mark.parametrize("name", SMALL)
def test_a_small_net_takes_other_sizes_and_channels(name: str, channels: int, crop: int) -> None:
    net = build(node(name, input=picture(channels, crop)))
    assert net.features({"pixels": net.input.blank(2)}).shape == (2, net.width)


def check_blocks(net: Net) -> None:
    """Every parameter stands in one block, once; first block first in the net, head last."""
    owned = [id(p) for block in net.blocks() for p in block.parameters()]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(p) for p in net.parameters()}
    assert all(any(True for _ in block.parameters()) for block in net.blocks())
    assert net.blocks()[-1] is net.heads["classify"]


@pytest.mark.parametrize("name", SMALL)
def test_blocks_hold_every_parameter_once(name: str) -> None:
    net = build(node(name))
    net.set_head("classify", ["a", "b"])
    check_blocks(net)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.usefixtures("_without_memory")
def test_blocks_of_torchvision_hold_every_parameter_once(name: str) -> None:
    net = build(node("torchvision", name=name))
    net.set_head("classify", ["a", "b"])
    check_blocks(net)
    assert len(net.blocks()) >= 6


@pytest.mark.parametrize("name", ["lenet", "conv4", "resnet20", "mlp"])
def test_blocks_go_from_input_to_output(name: str) -> None:
    net, called = build(node(name)), []
    for i, block in enumerate(net.backbone.blocks()):
        for module in block.modules():
            if list(module.parameters(recurse=False)):
                module.register_forward_hook(lambda *_, i=i: called.append(i))
    net.features({"pixels": net.input.blank(2)})
    assert called == sorted(called)
    assert set(called) == set(range(len(net.backbone.blocks())))


def test_resnet18_has_a_stem_and_four_stages() -> None:
    net = build(node("resnet18")).backbone.get_submodule("net")
    blocks = build(node("resnet18")).backbone.blocks()
    assert len(blocks) == 5
    assert [len(b.state_dict()) for b in blocks[1:]] == [
        len(net.get_submodule(f"layer{i}").state_dict()) for i in (1, 2, 3, 4)
    ]


@pytest.mark.parametrize(("name", "width"), [("resnet18", 512), ("squeezenet1_0", 512), ("mobilenet_v3_small", 1024)])
def test_torchvision_features_are_what_the_last_layer_reads(name: str, width: int) -> None:
    """The original net equals our features through its own last layer (SqueezeNet: through its 1x1 convolution)."""
    import torchvision.models

    torch.manual_seed(0)
    original = torchvision.models.get_model(name, weights=None).eval()
    net = build(node("torchvision", name=name, channels_last=False)).eval()
    net.backbone.get_submodule("net").load_state_dict(original.state_dict(), strict=False)
    x = torch.rand(2, 3, 224, 224)
    with torch.inference_mode():
        features = net.features({"pixels": x})
        assert features.shape == (2, net.width) == (2, width)
        if name != "squeezenet1_0":
            last = original.get_submodule(net.backbone.classifier)
            torch.testing.assert_close(last(features), original(x), rtol=1e-4, atol=1e-4)
        else:
            torch.testing.assert_close(features, original.get_submodule("features")(x).mean((2, 3)))


def test_option_a_shortcut_pads_channels_and_skips_pixels() -> None:
    """4 -> 8 channels: two zero channels on either side; every second row and column."""
    from transfer_cli.models.cifar_resnet import Block

    x = torch.arange(64.0).reshape(1, 4, 4, 4)
    out = Block(4, 8).shortcut(x)
    assert out.shape == (1, 8, 2, 2)
    assert torch.equal(out[0, 2:6], x[0, :, ::2, ::2])
    assert out[0, :2].abs().sum() == out[0, 6:].abs().sum() == 0


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (56, 0.85), (110, 1.7)])
def test_cifar_resnets_have_the_published_parameters(depth: int, millions: float) -> None:
    net = build(node(f"resnet{depth}"))
    net.set_head("classify", [str(i) for i in range(10)])
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.03)
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules()) == depth


def test_lenet_drops_only_while_it_learns() -> None:
    net, pixels = build(node("lenet")), torch.rand(4, 1, 28, 28)
    assert not torch.equal(net.features({"pixels": pixels}), net.features({"pixels": pixels}))
    still = build(node("lenet", dropout=0.0))
    assert torch.equal(still.features({"pixels": pixels}), still.features({"pixels": pixels}))


def test_channels_last_changes_the_layout_and_not_the_result() -> None:
    torch.manual_seed(0)
    fast = build(node("resnet20", channels_last=True)).eval()
    plain = build(node("resnet20", channels_last=False)).eval()
    plain.load_state_dict(fast.state_dict())
    assert fast.backbone.get_submodule("layer1.0.conv1").weight.is_contiguous(memory_format=torch.channels_last)
    pixels = torch.rand(2, 3, 32, 32)
    want = plain.features({"pixels": pixels})
    torch.testing.assert_close(fast.features({"pixels": pixels}), want, rtol=1e-4, atol=1e-4)


# heads
def test_a_head_keeps_the_rows_of_classes_it_knows() -> None:
    net = build(node("mlp"))
    net.set_head("classify", ["ant", "bee", "cat"])
    old = net.head("classify")
    weight, bias = old.weight.detach().clone(), old.bias.detach().clone()
    net.set_head("classify", ["cat", "dog", "ant"])
    new = net.head("classify")
    assert torch.equal(new.weight[[0, 2]], weight[[2, 0]])
    assert torch.equal(new.bias[[0, 2]], bias[[2, 0]])
    assert not (weight == new.weight[1]).all(1).any()
    assert new.weight.requires_grad


def test_the_same_classes_leave_the_head_untouched() -> None:
    net = build(node("mlp"))
    net.set_head("classify", ["a", "b"])
    head, state = net.heads["classify"], torch.random.get_rng_state()
    net.set_head("classify", ("a", "b"))
    assert net.heads["classify"] is head
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_new_head_depends_on_the_default_generator_alone() -> None:
    net = build(node("mlp"))
    weights = []
    for _ in range(2):
        torch.manual_seed(7)
        net.set_head("classify", ["a", "b"])
        weights.append(net.head("classify").weight.detach().clone())
        net.set_head("classify", ["x", "y"])
    assert torch.equal(*weights)


def test_a_head_without_names_takes_names_or_is_replaced() -> None:
    net = build(node("mlp"))
    weight = net.add_head("classify", "linear", outputs=2).weight
    with pytest.raises(ValueError, match=r"head classify has 2 outputs named None, given 3 names"):
        net.name_classes("classify", ["a", "b", "c"])
    net.name_classes("classify", ["a", "b"])
    assert net.head("classify").weight is weight
    other = build(node("mlp"))
    weight = other.add_head("classify", "linear", outputs=2).weight
    other.set_head("classify", ["a", "b"])
    assert other.head("classify").weight is not weight


# description
@pytest.mark.parametrize("name", [*SMALL, "resnet18"])
def test_a_description_rebuilds_the_net(name: str) -> None:
    import json

    net = build(node(name)).eval()
    net.set_head("classify", ["a", "b"])
    net.add_head("other", "linear", outputs=3)
    again = rebuild(json.loads(json.dumps(net.describe()))).eval()
    again.load_state_dict(net.state_dict())
    inputs = {"pixels": torch.rand(1, *net.input.blank().shape[1:])}
    for head in ("classify", "other"):
        assert torch.equal(net(inputs, head), again(inputs, head))
    assert again.classes == {"classify": ["a", "b"], "other": None}
    assert again.describe() == net.describe()


def damaged(**model: Any) -> dict[str, Any]:
    return {"model": node("mlp") | model, "heads": {}}


@pytest.mark.parametrize(
    ("description", "text"),
    [
        ({}, r"model: the description of the net is damaged"),
        (damaged(family="os.path"), r"model.family=os.path: no such model family"),
        (damaged(family="net"), r"model.family=net: no such model family"),
        (damaged(family="backbone"), r"model.family=backbone: no such model family"),
        (damaged(family="weights"), r"model.family=weights: no such model family"),
        (damaged(_target_="os.system"), r"model._target_: mlp has no such key"),
        (damaged(hidden=[]), r"model.hidden=\[\]: needs at least one width"),
        (damaged(input={"channels": 1}), r"model.input=.*: matches no kind of row"),
        (damaged(input=picture() | {"size": "big"}), r"model.input=.*: needs integers"),
        (damaged(input=picture() | {"size": 10**9}), r"model.input.size=1000000000: allowed 1 to 4096"),
        (damaged(input=picture() | {"crop": 29}), r"model.input.crop=29: allowed 1 to size, 28"),
        (damaged(input=picture() | {"std": [0.0]}), r"model.input.std=\[0.0\]: numbers > 0 only"),
        (damaged(input=picture() | {"mean": [0.1, 0.2]}), r"model.input.mean=.*: needs one number per channel, 1"),
        ({"model": node("mlp"), "heads": {"a": {"classes": None, "n": 10**9}}}, r"head a is damaged"),
        ({"model": node("mlp"), "heads": {"a": {"classes": ["x"], "n": 2}}}, r"head a is damaged"),
    ],
)
def test_a_damaged_description_is_refused(description: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        rebuild(description)


@pytest.mark.parametrize(
    ("name", "changes", "text"),
    [
        ("lenet", {"input": picture(1, 15)}, r"model.input.crop=15: lenet needs 16 pixels or more"),
        ("conv4", {"input": picture(1, 15)}, r"model.input.crop=15: conv4 needs 16 pixels or more"),
        ("resnet18", {"input": picture(1, 224)}, r"model.input.channels=1: resnet18 takes 3, grey is repeated"),
        (
            "torchvision",
            {"name": "alexnet", "input": picture(3, 32)},
            r"crop=32: alexnet cannot take 32 x 32 pixels \(",
        ),
        ("torchvision", {"name": "vit_b_16", "input": picture(3, 100)}, r"crop=100: vit_b_16 cannot take 100 x 100"),
    ],
)
def test_pictures_that_a_net_cannot_take(name: str, changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        build(node(name, **changes))


@pytest.mark.usefixtures("_without_memory")
def test_a_vit_takes_other_pictures_that_fill_its_patches() -> None:
    assert build(node("torchvision", name="vit_b_32", input=picture(3, 64))).width == 768


def test_a_family_may_come_from_a_plugin_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lent"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "flat_mean.py").write_text(
        "from transfer_cli.models.backbone import Backbone\n"
        "class FlatMean(Backbone):\n"
        "    def __init__(self, input, *, scale: float = 1.0):\n"
        "        super().__init__(input.channels)\n"
        "        self.scale = scale\n"
        "    def forward(self, pixels):\n"
        "        return self.scale * pixels.mean((2, 3))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = {
        "family": "flat_mean",
        "scale": 2.0,
        "input": picture(3, 8),
        "precision": "fp32",
        "channels_last": False,
    }
    net = build(settings, plugins=["lent"])
    assert net.features({"pixels": torch.ones(1, 3, 8, 8)}).tolist() == [[2.0, 2.0, 2.0]]
    with pytest.raises(ConfigError, match="no such model family"):
        build(settings, plugins=["not_installed"])


def test_all_faults_of_an_input_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        InputSpec(channels=0, size=8, crop=9, mean=(), std=())
    assert [fault.key for fault in raised.value.faults] == ["model.input.channels", "model.input.crop"]


def test_a_backbone_is_nothing_by_itself() -> None:
    with pytest.raises(NotImplementedError):
        Backbone(3).blocks()
