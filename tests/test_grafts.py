"""LoRA, adapters and BitFit against explicit computations; nets with grafts copied, merged, described and rebuilt."""

import copy
import json
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from transfer_cli.contracts import Batch, MethodInputs, Progress
from transfer_cli.engine.param_groups import param_groups, set_modes
from transfer_cli.engine.settings import Trainer
from transfer_cli.errors import ConfigError
from transfer_cli.methods.adapter import Adapter
from transfer_cli.methods.bitfit import Bitfit
from transfer_cli.methods.lora import Lora
from transfer_cli.models import grafts
from transfer_cli.models.backbone import Backbone
from transfer_cli.models.net import Net, build, rebuild
from transfer_cli.task_contracts import TaskContext
from transfer_cli.tasks.classify import Classify

INPUT = {"channels": 1, "size": 16, "crop": 16, "mean": [0.5], "std": [0.5]}
CLASSES = ("a", "b", "c")
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"family": "mlp", "hidden": (24, 12)},
    "conv4": {"family": "conv4", "filters": 8},
    "resnet20": {"family": "cifar_resnet", "name": "resnet20"},
}
SETTINGS: dict[str, dict[str, Any]] = {"lora": {"rank": 4, "alpha": 6.0}, "adapter": {"bottleneck": 5}}
METHODS = {"lora": Lora, "adapter": Adapter, "bitfit": Bitfit}


class Conv1D(nn.Module):
    """GPT-2's linear layer: the weight is [inputs, outputs]."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.randn(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x.flatten(0, -2), self.weight).view(*x.shape[:-1], -1)


Conv1D.__module__ = "transformers.pytorch_utils"  # by which the grafts know it


class Attending(Backbone):
    """A row of the picture is a token: attention, whose output layer is read and not called, then a linear layer."""

    def __init__(self) -> None:
        super().__init__(16)
        self.attention = nn.MultiheadAttention(16, 2, bias=False, batch_first=True)
        self.last = nn.Linear(16, 16, bias=False)

    def forward(self, pixels: Tensor) -> Tensor:
        x = pixels[:, 0]
        mixed: Tensor = self.last(self.attention(x, x, x, need_weights=False)[0]).mean(1)
        return mixed

    def blocks(self) -> list[nn.Module]:
        return [self.attention, self.last]


def net(name: str = "conv4", seed: int = 0) -> Net:
    torch.manual_seed(seed)
    made = Net(Attending(), {"input": INPUT}) if name == "attending" else build({**MODELS[name], "input": INPUT})
    made.set_head("classify", CLASSES)
    return made


def batch(rows: int = 6) -> Batch:
    labels = torch.arange(rows) % 3
    pixels = torch.randn(rows, 1, 16, 16, generator=torch.Generator().manual_seed(1)) + labels.view(-1, 1, 1, 1)
    return Batch({"pixels": pixels}, labels, torch.arange(rows))


def given(made: Net) -> MethodInputs:
    return MethodInputs(made, {"target": Classify(TaskContext(CLASSES))}, rows={"target": 6})


def shake(parameters: list[nn.Parameter]) -> None:
    """Fresh grafts change nothing; these do."""
    with torch.no_grad():
        for p in parameters:
            p.normal_(std=0.3)


def alone(layer: nn.Module, kind: str, **settings: Any) -> nn.Module:
    """A layer in fp64 with a graft that changes its output."""
    body = nn.Sequential(layer.double())
    shake(grafts.apply(body, {"kind": kind, "layers": ["0"], **settings}))
    return body[0]


# against explicit computations
def test_lora_on_a_linear_layer_is_w_plus_ba() -> None:
    layer = alone(nn.Linear(7, 5), "lora", rank=2, alpha=3.0)
    x, weight = torch.randn(4, 7).double(), layer.state_dict()["weight"]
    down, up = layer.lora_down, layer.lora_up
    assert (down.shape, up.shape) == ((2, 7), (5, 2))
    torch.testing.assert_close(layer(x), x @ weight.T + layer.bias + 1.5 * (x @ down.T) @ up.T, rtol=1e-12, atol=1e-12)


def test_lora_on_the_linear_layer_of_gpt_2() -> None:
    layer = alone(Conv1D(5, 7), "lora", rank=2, alpha=3.0)
    x, weight = torch.randn(2, 4, 7).double(), layer.state_dict()["weight"]
    expected = x @ weight + layer.bias + 1.5 * (x @ layer.lora_down.T) @ layer.lora_up.T
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("how", [{"padding": 1}, {"stride": 2, "padding": 2}, {"dilation": 2, "bias": False}])
def test_lora_on_a_convolution_is_a_narrow_one_and_a_1x1(groups: int, how: dict[str, Any]) -> None:
    layer = alone(nn.Conv2d(4, 6, 3, groups=groups, **how), "lora", rank=2, alpha=3.0)
    x, weight = torch.randn(2, 4, 9, 9).double(), layer.state_dict()["weight"]
    where = {key: value for key, value in how.items() if key != "bias"}
    expected = F.conv2d(x, weight, layer.bias, groups=groups, **where)
    narrow = layer.lora_down.view(2, 4 // groups, 3, 3)
    ups = layer.lora_up.view(groups, 6 // groups, 2, 1, 1)
    parts = [F.conv2d(F.conv2d(part, narrow, **where), up) for part, up in zip(x.chunk(groups, 1), ups, strict=True)]
    torch.testing.assert_close(layer(x), expected + 1.5 * torch.cat(parts, 1), rtol=1e-12, atol=1e-12)


def test_a_rank_above_the_weights_own_is_cut_and_scaled_as_asked() -> None:
    layer = alone(nn.Linear(3, 5), "lora", rank=8, alpha=4.0)
    assert (layer.lora_down.shape, layer.lora_up.shape, layer.lora_scale) == ((3, 3), (5, 3), 0.5)


@pytest.mark.parametrize(("layer", "shape"), [(nn.Linear(7, 4), (3, 7)), (Conv1D(4, 7), (3, 7))])
def test_an_adapter_behind_a_linear_layer(layer: nn.Module, shape: tuple[int, ...]) -> None:
    plain, x = copy.deepcopy(layer).double(), torch.randn(shape).double()
    made = alone(layer, "adapter", bottleneck=2)
    y = plain(x)
    hidden = (y @ made.adapter_down.T + made.adapter_down_bias).clamp_min(0)
    torch.testing.assert_close(made(x), y + hidden @ made.adapter_up.T + made.adapter_up_bias, rtol=1e-12, atol=1e-12)


def test_an_adapter_behind_a_convolution_mixes_channels_place_by_place() -> None:
    layer, x = nn.Conv2d(3, 4, 3, stride=2), torch.randn(2, 3, 9, 9).double()
    plain = copy.deepcopy(layer).double()
    made = alone(layer, "adapter", bottleneck=2)
    y = plain(x).movedim(1, -1)
    hidden = (y @ made.adapter_down.T + made.adapter_down_bias).clamp_min(0)
    expected = y + hidden @ made.adapter_up.T + made.adapter_up_bias
    torch.testing.assert_close(made(x), expected.movedim(-1, 1), rtol=1e-12, atol=1e-12)


# nets
@pytest.mark.parametrize("name", [*MODELS, "attending"])
@pytest.mark.parametrize("kind", SETTINGS)
def test_fresh_grafts_give_the_very_outputs_of_the_net(kind: str, name: str) -> None:
    made, inputs = net(name).eval(), batch().inputs
    before = made(inputs)
    fresh = made.graft(kind, **SETTINGS[kind])
    assert len(fresh) >= 2
    assert torch.equal(made(inputs), before)
    shake(fresh)
    assert not torch.allclose(made(inputs), before)


@pytest.mark.parametrize("name", [*MODELS, "attending"])
def test_a_merged_net_gives_the_outputs_of_the_unmerged(name: str) -> None:
    made, inputs = net(name).eval().double(), {"pixels": batch().inputs["pixels"].double()}
    names, classes = list(made.state_dict()), [type(module) for module in made.modules()]
    plain = made(inputs)
    shake(made.graft("lora", rank=4, alpha=6.0))
    before = made(inputs)
    made.merge()
    torch.testing.assert_close(made(inputs), before, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(before, plain, rtol=0.01)
    assert list(made.state_dict()) == names
    assert [type(module) for module in made.modules()] == classes
    assert "grafts" not in made.describe()


def test_merging_leaves_adapters_where_they_are() -> None:
    made, inputs = net().eval(), batch().inputs
    for kind in ("adapter", "lora"):
        shake(made.graft(kind, **SETTINGS[kind]))
    before = made(inputs)
    made.merge()
    torch.testing.assert_close(made(inputs), before)
    assert [entry["kind"] for entry in made.describe()["grafts"]] == ["adapter"]


def test_a_net_is_rebuilt_from_its_description_with_its_grafts() -> None:
    made, inputs = net(), batch().inputs
    for kind, settings in SETTINGS.items():
        shake(made.graft(kind, **settings))
    again = rebuild(json.loads(json.dumps(made.describe())))
    again.load_state_dict(made.state_dict())
    assert torch.equal(again.eval()(inputs), made.eval()(inputs))
    assert again.describe() == made.describe()


def test_a_net_without_grafts_is_described_as_before() -> None:
    assert set(net().describe()) == {"model", "heads"}


GOOD: dict[str, Any] = {"kind": "lora", "layers": ["layers.0.0"], "rank": 2, "alpha": 2.0}
DAMAGED: dict[str, Any] = {
    "no list": {},
    "no entry": ["lora"],
    "unknown kind": [GOOD | {"kind": "net"}],
    "rank 0": [GOOD | {"rank": 0}],
    "rank of text": [GOOD | {"rank": "2"}],
    "rank that is huge": [GOOD | {"rank": 10**9}],
    "alpha that is no number": [GOOD | {"alpha": float("nan")}],
    "key too many": [GOOD | {"bias": 1}],
    "key too few": [{key: value for key, value in GOOD.items() if key != "rank"}],
    "no such layer": [GOOD | {"layers": ["layers.9"]}],
    "layer that is not one": [GOOD | {"layers": ["layers.0.1"]}],
    "a method's name": [GOOD | {"layers": ["__class__"]}],
    "the backbone itself": [GOOD | {"layers": [""]}],
    "layer twice": [GOOD | {"layers": ["layers.0.0", "layers.0.0"]}],
    "number for a layer": [GOOD | {"layers": [0]}],
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_damaged_description_is_refused(how: str) -> None:
    rebuild(net().describe() | {"grafts": [GOOD]})
    with pytest.raises(ConfigError, match="description of the grafts is damaged"):
        rebuild(net().describe() | {"grafts": DAMAGED[how]})


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_copy_stands_alone(kind: str) -> None:
    made, inputs = net().eval(), batch().inputs
    shake(made.graft(kind, **SETTINGS[kind]))
    other, before = copy.deepcopy(made), made(inputs)
    assert torch.equal(other(inputs), before)
    shake(list(other.parameters()))
    assert torch.equal(made(inputs), before)


def test_an_adapter_stands_only_behind_layers_that_are_called() -> None:
    """Attention reads the weight of its output layer: LoRA is felt there, an adapter would not be."""
    made = net("attending")
    made.graft("adapter", bottleneck=2)
    assert made.grafts[0]["layers"] == ["last"]
    made = net("attending")
    shake(made.graft("lora", ["out_proj"], rank=2, alpha=2.0))
    made(batch().inputs).sum().backward()
    grown = made.backbone.get_submodule("attention.out_proj")
    assert grown.lora_down.grad.abs().sum() > 0
    assert grown.lora_up.grad.abs().sum() > 0


class Reading(Backbone):
    """Texts: an embedding, GPT-2's linear layer on each token, and words it is like, by the weight of the first."""

    reads = "texts"

    def __init__(self) -> None:
        super().__init__(6)
        self.words, self.mix, self.tied = nn.Embedding(9, 6), Conv1D(6, 6), nn.Linear(6, 9, bias=False)
        self.tied.weight = self.words.weight

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        states: Tensor = self.mix(self.words(ids))
        return states + self.tied(states).softmax(-1) @ self.words.weight

    def blocks(self) -> list[nn.Module]:
        return [self.words, self.mix]


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_net_of_texts_bears_grafts(kind: str) -> None:
    torch.manual_seed(0)
    made = Net(Reading(), {"input": {"tokenizer": "byte", "length": 5, "size": 9, "digest": ""}}).eval()
    made.add_head("language", "tokens", outputs=9)
    inputs = {"ids": torch.randint(9, (2, 5)), "mask": torch.ones(2, 5, dtype=torch.bool)}
    before = made(inputs)
    fresh = made.graft(kind, **SETTINGS[kind])
    assert made.grafts[0]["layers"] == ["mix"]
    assert torch.equal(made(inputs), before)
    shake(fresh)
    assert made(inputs).shape == before.shape
    assert not torch.allclose(made(inputs), before)


def test_the_linear_layer_of_gpt_2_is_known_by_its_name() -> None:
    pytorch_utils = pytest.importorskip("transformers.pytorch_utils")
    layer = pytorch_utils.Conv1D(5, 7)
    weight, x = layer.weight.detach().clone(), torch.randn(2, 7)
    body = nn.Sequential(layer)
    shake(grafts.apply(body, {"kind": "lora", "layers": ["0"], "rank": 2, "alpha": 3.0}))
    torch.testing.assert_close(body(x), x @ weight + layer.bias + 1.5 * (x @ layer.lora_down.T) @ layer.lora_up.T)


# methods
def train(method: Any, steps: int = 4) -> None:
    cast = param_groups(method, Trainer())
    set_modes(method, cast)
    optimizer = torch.optim.SGD([p for group in cast.values() for p in group.parameters], 0.1, weight_decay=0.1)
    for t in range(steps):
        (loss,) = method.step({"target": batch()}, Progress(t, steps))
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()


def bits(x: Tensor) -> bytes:
    return x.detach().numpy().tobytes()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("word", METHODS)
def test_only_the_delta_and_the_head_move(word: str, name: str) -> None:
    made = net(name)
    before = {key: bits(x) for key, x in made.state_dict().items()}
    method = METHODS[word](given(made))
    train(method)
    after = {key: bits(x) for key, x in made.state_dict().items()}
    moved = {key for key in after if after[key] != before.get(key)}
    norms = [key.removesuffix("num_batches_tracked") for key in after if key.endswith("num_batches_tracked")]
    biases = {key for key in before if key.endswith(".bias")}
    statistics = {key for key in before for norm in norms if key.startswith(norm)} - {f"{n}weight" for n in norms}
    grown = {key for key in after if f".{word}_" in key}
    assert moved == {"heads.classify.weight", "heads.classify.bias"} | (
        biases | statistics if word == "bitfit" else grown
    )
    learns = {f"net.{key}" for key in moved} - {f"net.{key}" for key in statistics - biases}
    assert {key for key, p in method.named_parameters() if p.requires_grad} == learns


@pytest.mark.parametrize("word", ["lora", "adapter"])
def test_grafts_learn_under_bf16(word: str) -> None:
    method = METHODS[word](given(net()))
    with torch.autocast("cpu", torch.bfloat16):
        train(method)
        out = method.net.eval()(batch().inputs)
    torch.testing.assert_close(out.float(), method.net(batch().inputs), rtol=0.05, atol=0.1)
    assert all(p.dtype == torch.float32 for p in method.parameters())


def test_lora_after_lora_begins_from_the_merged_net() -> None:
    made = net().eval()
    shake(made.graft("lora", rank=2, alpha=2.0))
    before = made(batch().inputs)
    method = Lora(given(made), rank=3, alpha=9.0)
    torch.testing.assert_close(made.eval()(batch().inputs), before)
    assert [(entry["rank"], entry["alpha"]) for entry in made.grafts] == [(3, 9.0)]
    assert len(method.learning) == 8


def test_adapters_learn_on_and_others_are_refused() -> None:
    made = net()
    shake(first := made.graft("adapter", bottleneck=3))
    method = Adapter(given(made), bottleneck=3)
    assert [id(p) for p in method.learning] == [id(p) for p in first]
    assert all(p.requires_grad for p in first)
    with pytest.raises(ConfigError, match="the net has adapters already, with bottleneck 3 on 4 layers"):
        Adapter(given(made), bottleneck=4)


def test_layers_are_chosen_by_the_ends_of_their_names() -> None:
    made = net("resnet20")
    Lora(given(made), layers=("conv2", "layer1.0.conv1"))
    assert {name.rpartition(".")[2] for name in made.grafts[0]["layers"]} == {"conv2", "conv1"}
    assert len(made.grafts[0]["layers"]) == 10
    with pytest.raises(
        ConfigError, match=r"fine_tune\.layers=.*: no layer name ends with one of these; there are conv1, layer1\.0\."
    ):
        Lora(given(net("resnet20")), layers=("onv2",))


def test_bitfit_needs_biases() -> None:
    with pytest.raises(ConfigError, match="the net has no biases"):
        Bitfit(given(net("attending")))
