"""Nets of timm by name and image classifiers of the transformers library by folder: their numbers, blocks, weights,
grafts, and the words that choose them."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from transfer_cli import extras
from transfer_cli.config import timm as names
from transfer_cli.config.preprocessor import input_of
from transfer_cli.config.pretrained import model_of
from transfer_cli.errors import ConfigError, StoreError
from transfer_cli.models.net import Net, build, rebuild
from transfer_cli.models.weights import load

timm = pytest.importorskip("timm", reason="the extra timm is not installed")
Transfer = Callable[..., Any]
SMALL = ("test_resnet", "test_vit", "test_convnext", "test_efficientnet")
VIT = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CONFIGS: dict[str, dict[str, Any]] = {
    "vit": VIT | {"image_size": 32, "patch_size": 8},
    "dinov2": VIT | {"image_size": 32, "patch_size": 8},
    "convnext": {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 2, 1], "image_size": 32},
    "resnet": {"embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1], "layer_type": "basic"},
    "swin": {
        "image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4,
    },
}  # fmt: skip
PREPARED = {"do_resize": True, "size": {"height": 32, "width": 32}, "resample": 3, "do_rescale": True}
PREPARED |= {"do_normalize": True, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.2, 0.2]}


def picture(crop: int = 32) -> dict[str, Any]:
    return {"channels": 3, "size": crop, "crop": crop, "mean": [0.5] * 3, "std": [0.5] * 3}


def of_timm(name: str, crop: int = 32) -> Net:
    torch.manual_seed(0)
    node = {"family": "timm", "name": name, "input": picture(crop), "precision": "fp32", "channels_last": False}
    return build(node).eval()


def folder(path: Path, kind: str, prepared: dict[str, Any] | None = None) -> Any:
    """A folder with a small classifier of three classes; returns the library's own net."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING

    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind](**CONFIGS[kind], num_labels=3)
    net = MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING[type(config)]._from_config(config).eval()
    net.save_pretrained(path)
    (path / "preprocessor_config.json").write_text(json.dumps(prepared or PREPARED))
    return net


def of_folder(path: Path) -> Net:
    option, values = model_of(str(path))
    return build({"family": option, "precision": "fp32", "channels_last": False, **values}).eval()


def check_blocks(net: Net) -> None:
    owned = [id(p) for block in net.blocks() for p in block.parameters()]
    assert len(owned) == len(set(owned))
    assert set(owned) == {id(p) for p in net.parameters()}
    assert all(any(True for _ in block.parameters()) for block in net.blocks())
    assert len(net.blocks()) >= 4


# timm: what it says of its nets, read without it
def test_names_are_those_of_timm() -> None:
    assert list(names.names()) == sorted(timm.list_models())


def check_published(name: str) -> bool:
    """Whether timm's own object says the same; False for what cannot be read."""
    said = timm.get_pretrained_cfg(name)
    try:
        found = names.published(name)
    except KeyError:
        return False
    crop = said.input_size[-1]
    assert found.input == {
        "channels": said.input_size[0], "crop": crop, "size": max(crop, math.floor(crop / said.crop_pct)),
        "mean": list(said.mean), "std": list(said.std), "interpolation": said.interpolation,
    }, name  # fmt: skip
    assert found.repository == said.hf_hub_id, name
    return True


@pytest.mark.parametrize(
    "name",
    ["resnet18", "resnet18.tv_in1k", "resnet50d", "vit_base_patch16_224", "dpn68", "tf_efficientnet_b0", "levit_128s"],
)
def test_what_is_read_is_what_timm_says(name: str) -> None:
    assert check_published(name)


@pytest.mark.slow
def test_what_is_read_is_what_timm_says_of_nearly_all() -> None:
    unread = [name for name in timm.list_models() if not check_published(name)]
    assert len(unread) < 0.02 * len(timm.list_models())
    assert all(check_published(name) for name in timm.list_pretrained() if name.partition(".")[0] not in unread)


# timm: the nets
@pytest.mark.parametrize("name", SMALL)
def test_features_of_timm_are_what_the_classifier_reads(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    original = timm.create_model(name, pretrained=False, num_classes=7, **({"img_size": 32} if "vit" in name else {}))
    save_file(original.eval().state_dict(), tmp_path / "theirs.safetensors")
    net, pixels = of_timm(name), torch.randn(2, 3, 32, 32)
    report = load(net, tmp_path / "theirs.safetensors")
    assert (report.head, report.unexpected, report.dropped) == (7, (), ())
    assert torch.equal(net({"pixels": pixels}), original(pixels))
    assert net.features({"pixels": pixels}).shape == (2, net.width)
    check_blocks(net)


@pytest.mark.parametrize(
    "name",
    [
        "vit_tiny_patch16_224", "convnext_atto", "efficientnet_b0", "swin_tiny_patch4_window7_224", "mixer_s32_224",
        "deit_tiny_distilled_patch16_224", "regnetx_002", "densenet121", "hrnet_w18_small", "xcit_nano_12_p16_224",
    ],
)  # fmt: skip
def test_blocks_of_timm_hold_every_parameter_once(name: str) -> None:
    with torch.device("meta"):
        net = of_timm(name, 224)
        net.set_head("classify", ["a", "b"])
    check_blocks(net)
    assert net.backbone.classifier == ("" if "distilled" in name else timm.get_pretrained_cfg(name).classifier)


def test_a_net_of_timm_is_rebuilt_from_its_description() -> None:
    net = of_timm("test_vit")
    net.set_head("classify", ["a", "b"])
    again = rebuild(json.loads(json.dumps(net.describe()))).eval()
    again.load_state_dict(net.state_dict())
    pixels = torch.randn(2, 3, 32, 32)
    assert torch.equal(again({"pixels": pixels}), net({"pixels": pixels}))


@pytest.mark.parametrize(
    ("name", "crop", "text"),
    [
        ("resnte18", 32, "model.name=resnte18: timm has no such net; nearest: resnet18"),
        ("resnet18.a9_in1k", 32, "model.name=resnet18.a9_in1k: timm has no such net; nearest: resnet18.a"),
        ("test_vit", 17, "model.input.crop=17: test_vit cannot take 17 x 17 pixels"),
    ],
)
def test_what_timm_cannot_make(name: str, crop: int, text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        of_timm(name, crop)
    assert raised.value.faults[0].line().startswith(text)


# transformers: folders
@pytest.mark.parametrize("kind", CONFIGS)
def test_a_folder_gives_the_librarys_own_numbers(kind: str, tmp_path: Path) -> None:
    theirs, pixels = folder(tmp_path, kind), torch.randn(2, 3, 32, 32)
    net = of_folder(tmp_path)
    report = load(net, tmp_path / "model.safetensors")
    assert (report.head, report.unexpected, report.missing) == (3, (), ())
    assert torch.equal(net({"pixels": pixels}), theirs(pixel_values=pixels).logits)
    check_blocks(net)
    again = rebuild(json.loads(json.dumps(net.describe()))).eval()
    again.load_state_dict(net.state_dict())
    assert torch.equal(again({"pixels": pixels}), net({"pixels": pixels}))


def test_the_input_is_what_the_preprocessor_says(tmp_path: Path) -> None:
    folder(tmp_path, "vit")
    said = {
        "channels": 3,
        "size": 32,
        "crop": 32,
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2] * 3,
        "interpolation": "bicubic",
    }
    assert model_of(str(tmp_path))[1]["input"] == said


@pytest.mark.parametrize(
    ("change", "size", "crop"),
    [
        ({"size": 40}, 40, 40),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, 256, 224),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.875}, 384, 384),
        ({"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224}, 256, 224),
        ({"size": {"shortest_edge": 224}, "do_center_crop": True, "crop_size": {"height": 256}}, 256, 256),
    ],
)  # fmt: skip
def test_sizes_of_a_preprocessor(change: dict[str, Any], size: int, crop: int) -> None:
    found = input_of(PREPARED | change, 3, "f")
    assert (found["size"], found["crop"]) == (size, crop)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"do_flip_channel_order": True}, "asks for do_flip_channel_order True, which is not supported"),
        ({"do_rescale": False}, "asks for do_rescale False, which is not supported"),
        ({"rescale_factor": 1.0}, "asks for pixels in another range, which is not supported"),
        ({"resample": 0}, "resample 0: only 2, 3 are supported"),
        ({"size": {"height": 3, "width": 4}}, "size {'height': 3, 'width': 4}: only squares are supported"),
        ({"image_mean": None}, "has no image_mean and image_std"),
    ],
)
def test_a_preprocessor_that_cannot_be_followed(change: dict[str, Any], text: str) -> None:
    with pytest.raises(StoreError) as raised:
        input_of(PREPARED | change, 3, "f")
    assert raised.value.faults[0].line() == f"weights=f: preprocessor_config.json {text}"


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"model_type": "gpt2", "num_channels": 3}, "model.config=gpt2: does not classify images; use one like vit"),
        ({"model_type": "os"}, "model.config=os: no architecture of the transformers library"),
        ({"model_type": "vit", "hidden_size": 2**30}, "weights: config.json: hidden_size 1073741824, allowed at most"),
        ({"model_type": "vit", "num_channels": 1, **CONFIGS["vit"]}, "model.input.channels=3: vit takes 1"),
        ({"model_type": "vit", **CONFIGS["vit"], "image_size": 64}, "model.input.crop=32: vit cannot take 32 x 32"),
    ],
)
def test_a_configuration_that_is_no_image_classifier(config: dict[str, Any], text: str) -> None:
    node = {"family": "transformers_image", "config": config, "input": picture()}
    with pytest.raises((ConfigError, StoreError)) as raised:
        build(node)
    assert raised.value.faults[0].line().startswith(text)


# grafts on both
def foreign(which: str, path: Path) -> Net:
    if which == "timm":
        return of_timm("test_vit")
    folder(path, "vit")
    return of_folder(path)


@pytest.mark.parametrize("which", ["timm", "transformers"])
@pytest.mark.parametrize(("kind", "settings"), [("lora", {"rank": 3, "alpha": 5.0}), ("adapter", {"bottleneck": 4})])
def test_grafts_on_nets_of_others(which: str, kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    """Fresh grafts change nothing; trained ones survive save and load; merged LoRA gives the same outputs."""
    net = foreign(which, tmp_path)
    net.set_head("classify", ["a", "b"])
    inputs, names_before = {"pixels": torch.randn(2, 3, 32, 32)}, set(net.state_dict())
    before = net(inputs)
    fresh = net.graft(kind, **settings)
    layers = [n for n, m in net.backbone.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert len(net.grafts[0]["layers"]) >= 0.8 * len(layers)
    assert torch.allclose(net(inputs), before, atol=1e-6)
    _shake(fresh)
    after = net(inputs)
    assert not torch.allclose(after, before, atol=1e-3)
    assert names_before <= set(net.state_dict())
    again = rebuild(json.loads(json.dumps(net.describe()))).eval()
    again.load_state_dict(net.state_dict())
    assert torch.equal(again(inputs), after)
    if kind == "lora":
        net.merge()
        assert set(net.state_dict()) == names_before
        assert torch.allclose(net(inputs), after, atol=1e-5)


@torch.no_grad()
def _shake(parameters: list[Any]) -> None:
    for parameter in parameters:
        parameter.add_(torch.randn_like(parameter) * 0.1)


# words
def test_a_name_that_timm_does_not_have(transfer: Transfer) -> None:
    told = transfer("run", "model=timm/resnte18", "data=digits")
    assert (told.code, told.errors) == (2, ["error: model=timm/resnte18: timm has no such net; nearest: timm/resnet18"])


def test_a_net_that_says_its_pictures_in_code(transfer: Transfer) -> None:
    told = transfer("run", "-n", "model=timm/qwen3_vit_88m", "data=digits")
    assert told.code == 2
    assert told.errors[0] == "error: model=timm/qwen3_vit_88m: timm defines the input of this net in code"


@pytest.mark.parametrize("words", [["model=timm/resnet18"], ["model=timm", "model.name=resnet18"]])
def test_a_missing_extra_is_one_line(words: list[str], transfer: Transfer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    told = transfer("run", *words, "data=digits")
    value = words[0].partition("=")[2]
    assert told.code == 2
    assert told.errors == [f"error: model={value}: needs an extra: pip install 'transfer-cli[timm]'"]


def test_a_family_may_be_named_before_the_net(transfer: Transfer) -> None:
    told = transfer("run", "-n", "model=torchvision/resnte50", "data=digits")
    assert told.errors == [
        "error: model=torchvision/resnte50: torchvision has no such net; nearest: torchvision/resnet50"
    ]
    assert transfer("run", "--cfg", "model=torchvision/resnet50").out == transfer("run", "--cfg", "model=resnet50").out


def cached(root: Path, repository: str, files: dict[str, bytes]) -> None:
    """A repository in a hub cache, as the hub's library lays it out."""
    place = root / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("abc")
    (place / "snapshots" / "abc").mkdir(parents=True)
    for name, content in files.items():
        (place / "snapshots" / "abc" / name).write_bytes(content)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize(
    ("words", "repository"),
    [
        (["model=timm/resnet18", "weights=imagenet"], "timm/resnet18.a1_in1k"),
        (["weights=hf:org/name"], "org/name"),
    ],
)
def test_weights_of_the_hub_that_are_not_here(words: list[str], repository: str, hub: Path, transfer: Transfer) -> None:
    told = transfer("run", *words, "data=digits")
    assert told.code == 5
    assert told.errors == [
        f"error: {words[-1]}: {repository} is not in the hub's cache on this machine",
        f"  do: transfer fetch hf:{repository} (network), or weights=FILE",
    ]
    told = transfer("fetch", f"hf:{repository}")
    assert told.code == 4
    assert "the network is off (--offline or TRANSFER_OFFLINE)" in told.err


@pytest.mark.parametrize("way", ["imagenet", "hub", "transformers"])
def test_a_run_from_weights_of_others(way: str, hub: Path, transfer: Transfer, tmp_path: Path) -> None:
    """Save, load, evaluate again: the same accuracy."""
    words = ["model=timm/test_resnet", "model.input.size=32", "model.input.crop=32", "weights=imagenet"]
    if way == "transformers":
        folder(tmp_path / "vit", "vit")
        words = [f"weights={tmp_path / 'vit'}"]
    else:
        repository = names.published("test_resnet").repository
        net, said = timm.create_model("test_resnet", num_classes=5), timm.get_pretrained_cfg("test_resnet").to_dict()
        save_file(net.state_dict(), tmp_path / "x.safetensors")
        config = {"architecture": "test_resnet", "pretrained_cfg": said | {"input_size": [3, 32, 32], "crop_pct": 1.0}}
        content = (tmp_path / "x.safetensors").read_bytes()
        cached(hub, str(repository), {"model.safetensors": content, "config.json": json.dumps(config).encode()})
        words = words if way == "imagenet" else [f"weights=hf:{repository}"]
    told = transfer("run", "-q", *words, "data=digits", "strategy=lora", "trainer=tiny", "runtime=cpu")
    assert told.code == 0, told.err
    first = json.loads((Path(told.out.strip()) / "results.json").read_text())
    assert first["config"]["model"]["family"] == ("transformers_image" if way == "transformers" else "timm")
    assert first["cost"]["trained"] < first["cost"]["parameters"]
    again = transfer("run", "-q", f"weights={told.out.strip()}", "data=digits", "strategy=none")
    assert again.code == 0, again.err
    assert json.loads((Path(again.out.strip()) / "results.json").read_text())["headline"] == first["headline"]


def test_a_run_brings_what_it_names_where_it_may(
    hub: Path, transfer: Transfer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's library is asked for configurations, tokenizers and safetensors only, and its failure is told."""
    import huggingface_hub

    asked: list[tuple[str, list[str]]] = []

    def snapshot(repository: str, allow_patterns: list[str]) -> str:
        asked.append((repository, allow_patterns))
        raise OSError("no route to\nhost")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    monkeypatch.setenv("TRANSFER_OFFLINE", "0")
    told = transfer("run", "-n", "weights=hf:org/name", "data=digits")
    assert told.code == 5
    assert "fetch=hf:org/name: cannot be fetched: no route to host" in told.err
    assert told.errors[0] == "error: weights=hf:org/name: org/name is not in the hub's cache on this machine"
    ((repository, patterns),) = asked
    assert repository == "org/name"
    assert {Path(name).suffix for name in patterns} == {".json", ".txt", ".safetensors"}
    transfer("run", "-n", "weights=hf:org/name", "data=digits", "--offline")
    assert len(asked) == 1


def test_a_repository_that_would_leave_the_cache_is_none(hub: Path, transfer: Transfer) -> None:
    told = transfer("fetch", "hf:../x")
    assert (told.code, told.errors) == (2, ["error: fetch=hf:../x: needs hf:ORG/NAME, and no --from"])


def test_code_of_a_folder_is_refused(tmp_path: Path) -> None:
    folder(tmp_path, "vit")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.py"}}))
    with pytest.raises(StoreError, match=r"names code \(auto_map\), which is never run"):
        model_of(str(tmp_path))


def test_pickles_of_a_folder_are_not_read(tmp_path: Path, transfer: Transfer) -> None:
    folder(tmp_path / "vit", "vit")
    (tmp_path / "vit" / "model.safetensors").rename(tmp_path / "vit" / "pytorch_model.bin")
    told = transfer("run", f"weights={tmp_path / 'vit'}", "data=digits")
    assert told.code == 5
    assert "has a config.json and no model.safetensors" in told.err
