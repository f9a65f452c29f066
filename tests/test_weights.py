"""Weights of others: the shared files reproduce their published numbers, hostile files are refused and run nothing."""

import io
import os
import pickle
import struct
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from transfer_cli.errors import StoreError
from transfer_cli.metrics.classification import classification
from transfer_cli.models import checkpoint
from transfer_cli.models.net import Net, build
from transfer_cli.models.tensors import pack
from transfer_cli.models.weights import load

CONF = Path(__file__).parents[1] / "conf" / "model"
SHARED = Path(os.environ.get("TRANSFER_DATA", "/nonexistent"))
RESNET = SHARED / "weights/akamaster_pytorch_resnet_cifar10/resnet20-12fca82f.th"
SQUEEZENET = SHARED / "weights/songhan_SqueezeNet-Deep-Compression/squeezenet1_0_deepcomp_torchvision_keys.pth"
shared = pytest.mark.skipif(not RESNET.is_file(), reason="the shared data are not here")


def net_of(word: str, /, **changes: Any) -> Net:
    return build(yaml.safe_load((CONF / f"{word}.yaml").read_text()) | changes)


def resnet20() -> Net:
    return net_of("resnet20", channels_last=False)


def state(seed: int = 5) -> dict[str, Tensor]:
    """Tensors as akamaster's files name them, without the counters that old files lack."""
    torch.manual_seed(seed)
    own = resnet20().backbone.state_dict()
    named = {k: torch.randn_like(x) for k, x in own.items() if "num_batches" not in k}
    return named | {"linear.weight": torch.randn(10, 64), "linear.bias": torch.randn(10)}


def equal(net: Net, tensors: dict[str, Tensor]) -> bool:
    own = net.backbone.state_dict()
    return all(torch.equal(own[name], x) for name, x in tensors.items() if not name.startswith("linear"))


def cifar_test(rows: int) -> tuple[Tensor, Tensor]:
    """The first test pictures in [0, 1] and their labels, read as the data's README says."""
    sheets = [
        np.asarray(Image.open(SHARED / f"cifar10/test_0{i}.webp").convert("RGB")) for i in range(1 + (rows - 1) // 2500)
    ]
    tiles = [s.reshape(50, 32, 50, 32, 3).transpose(0, 2, 1, 3, 4).reshape(-1, 32, 32, 3) for s in sheets]
    labels = np.load(SHARED / "cifar10/labels.npz")["test_labels"].astype(np.int64)
    pixels = torch.from_numpy(np.concatenate(tiles)[:rows]).permute(0, 3, 1, 2)
    return pixels.float() / 255, torch.from_numpy(labels[:rows])


def resnet20_accuracy(rows: int, mean: Any = None, std: Any = None) -> float:
    net = net_of("resnet20").eval()
    load(net, RESNET)
    pixels, labels = cifar_test(rows)
    centre, scale = (torch.tensor(x).view(-1, 1, 1) for x in (mean or net.input.mean, std or net.input.std))
    with torch.inference_mode():
        batches = (((x - centre) / scale).contiguous(memory_format=torch.channels_last) for x in pixels.split(500))
        scores = torch.cat([net({"pixels": x}) for x in batches])
    return classification(scores, labels)["accuracy"]


@shared
@pytest.mark.slow
def test_resnet20_has_its_published_test_error() -> None:
    """8.27 % in akamaster's table: 827 of 10,000 wrong."""
    assert resnet20_accuracy(10_000) == 0.9173


@shared
def test_resnet20_is_near_its_published_test_error_with_the_input_of_its_yaml() -> None:
    """On 500 pictures the standard error is 1.2 points; with mean and std .5 it is 8 points worse."""
    got = resnet20_accuracy(500)
    assert abs(got - 0.9173) < 0.03
    assert resnet20_accuracy(500, [0.5], [0.5]) < got - 0.04


@shared
def test_resnet20_takes_every_tensor_and_the_classifier() -> None:
    report = load(net_of("resnet20"), RESNET)
    assert (report.head, report.dropped, report.unexpected) == (10, (), ())
    assert report.lines() == ["resnet20-12fca82f.th: 95 tensors and a head of 10 outputs"]
    assert report.sha256.startswith("12fca82f")


@shared
def test_squeezenet_loads_all_but_the_classifier_that_no_linear_head_equals() -> None:
    net = net_of("torchvision", name="squeezenet1_0")
    report = load(net, SQUEEZENET)
    assert (report.head, report.missing, report.unexpected) == (None, (), ())
    assert report.dropped == ("classifier.1.weight", "classifier.1.bias")
    assert report.loaded == len(net.backbone.state_dict()) == 50
    assert net.features({"pixels": net.input.blank()}).shape == (1, 512)
    raw = torch.load(SQUEEZENET, weights_only=True)
    assert all(torch.equal(net.backbone.state_dict()[f"net.{k}"], raw[k]) for k in raw if "classifier" not in k)


# forms of files
WRAPPERS = {
    "plain": lambda s: s,
    "state_dict": lambda s: {"epoch": 3, "state_dict": s, "optimizer": {"lr": [0.1]}},
    "model": lambda s: {"model": OrderedDict(s)},
    "both": lambda s: {"state_dict": {"model": s}},
    "DataParallel": lambda s: {"state_dict": {f"module.{k}": x for k, x in s.items()}},
    "compiled": lambda s: {f"module._orig_mod.{k}": x for k, x in s.items()},
    "Lightning": lambda s: {"state_dict": {f"model.{k}": x for k, x in s.items()}},
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrapped_state_dicts_load(wrapper: str, legacy: bool, tmp_path: Path) -> None:
    net, tensors, path = resnet20(), state(), tmp_path / "x.pth"
    torch.save(WRAPPERS[wrapper](tensors), path, _use_new_zipfile_serialization=not legacy)
    report = load(net, path)
    assert equal(net, tensors)
    assert torch.equal(net.head("classify").weight, tensors["linear.weight"])
    assert torch.equal(net.head("classify").bias, tensors["linear.bias"])
    assert (report.head, net.classes) == (10, {"classify": None})
    assert all(name.endswith("num_batches_tracked") for name in report.missing)


def test_safetensors_load(tmp_path: Path) -> None:
    net, tensors = resnet20(), state()
    save_file(tensors, tmp_path / "x.safetensors")
    assert load(net, tmp_path / "x.safetensors").head == 10
    assert equal(net, tensors)


@pytest.mark.parametrize("word", ["resnet20", "resnet18"])
def test_our_own_nets_load(word: str, tmp_path: Path) -> None:
    """As a stage stores them: the net's tensors under `net.`, the head under its name."""
    net, other = net_of(word), net_of(word)
    net.set_head("classify", ["a", "b"])
    path = tmp_path / "model-final.safetensors"
    path.write_bytes(pack({f"net.{k}": x for k, x in net.state_dict().items()}, {"net": net.describe()}))
    report = load(other, path)
    assert (report.head, report.missing, report.dropped, report.unexpected) == (2, (), (), ())
    assert all(torch.equal(x, other.state_dict()[k]) for k, x in net.state_dict().items())


def test_other_float_types_are_converted(tmp_path: Path) -> None:
    net, tensors = resnet20(), state()
    torch.save({k: x.double() for k, x in tensors.items()}, tmp_path / "x.pt")
    load(net, tmp_path / "x.pt")
    assert equal(net, tensors)
    assert next(net.parameters()).dtype == torch.float32


def test_a_classifier_without_bias_gets_zeros_and_one_of_another_shape_is_left_out(tmp_path: Path) -> None:
    tensors = state()
    del tensors["linear.bias"]
    torch.save(tensors, tmp_path / "x.pt")
    net = resnet20()
    assert load(net, tmp_path / "x.pt").head == 10
    assert net.head("classify").bias.tolist() == [0.0] * 10
    torch.save(tensors | {"linear.weight": torch.zeros(10, 65)}, tmp_path / "x.pt")
    net = resnet20()
    report = load(net, tmp_path / "x.pt")
    assert (report.head, report.dropped, list(net.heads)) == (None, ("linear.weight",), [])


def test_tensors_beside_the_backbone_are_left_out_and_told(tmp_path: Path) -> None:
    extra = {f"projector.{i}.weight": torch.zeros(2) for i in range(5)}
    torch.save(state() | extra, tmp_path / "x.pt")
    report = load(resnet20(), tmp_path / "x.pt")
    assert report.unexpected == tuple(extra)
    names = "projector.0.weight, projector.1.weight, projector.2.weight and 2 more"
    assert report.lines()[1] == f"x.pt: left out {names} (not known to this model)"


def test_auxiliary_heads_of_googlenet_are_known_extras(tmp_path: Path) -> None:
    import torchvision.models

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        original = torchvision.models.googlenet(weights=None, init_weights=False)
    torch.save(original.state_dict(), tmp_path / "x.pt")
    report = load(net_of("torchvision", name="googlenet"), tmp_path / "x.pt")
    assert (report.head, report.missing, report.unexpected) == (1000, (), ())
    assert {name.split(".")[0] for name in report.dropped} == {"aux1", "aux2"}


# files that do not fit
def refused(net: Net, path: Path) -> str:
    """The line of the StoreError; the net must be untouched and the line one."""
    before = {name: x.clone() for name, x in net.state_dict().items()}
    with pytest.raises(StoreError) as raised:
        load(net, path)
    assert raised.value.code == 5
    assert all(torch.equal(x, before[name]) for name, x in net.state_dict().items())
    (fault,) = raised.value.faults
    assert (fault.key, fault.value) == ("weights", str(path))
    assert "\n" not in fault.line()
    return fault.line().removeprefix(f"weights={path}: ")


def test_another_model_is_named_with_the_first_tensor_and_the_nearest_model(tmp_path: Path) -> None:
    import torchvision.models

    torch.save(torchvision.models.resnet50(weights=None).state_dict(), tmp_path / "r50.pt")
    first = "first layer1.0.conv1.weight [64,64,1,1], expected [64,64,3,3]; nearest: model=resnet50"
    assert refused(net_of("resnet18"), tmp_path / "r50.pt") == f"221 of 318 tensors do not fit resnet18, {first}"


def test_a_deeper_model_is_not_cut_to_fit(tmp_path: Path) -> None:
    """All tensors of resnet20 have a place in resnet32's file; its other layers must not vanish without a word."""
    torch.save(net_of("resnet32").backbone.state_dict(), tmp_path / "r32.pt")
    line = refused(resnet20(), tmp_path / "r32.pt")
    first = "first layer1.3.conv1.weight [16,16,3,3], which the model does not have; nearest: model=resnet32"
    assert line == f"72 of 186 tensors do not fit resnet20, {first}"


CHANGES = {
    "missing": (lambda s: s.pop("bn1.bias"), "1 of 114 tensors do not fit resnet20, first bn1.bias, which is missing"),
    "integers": (
        lambda s: s.update({"bn1.bias": torch.zeros(16, dtype=torch.int64)}),
        "1 of 114 tensors do not fit resnet20, first bn1.bias of int64, expected float32",
    ),
    "NaN": (lambda s: s["bn1.bias"].fill_(float("nan")), "bn1.bias holds NaN or infinity"),
    "nothing": (lambda s: s.clear(), "holds no tensors"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_tensors_that_do_not_fit(change: str, tmp_path: Path) -> None:
    tensors, (apply, text) = state(), CHANGES[change]
    apply(tensors)
    torch.save(tensors, tmp_path / "x.pt")
    assert refused(resnet20(), tmp_path / "x.pt") == text


def test_a_file_that_changed_since_it_was_planned(tmp_path: Path) -> None:
    torch.save(state(), tmp_path / "x.pt")
    digest = load(resnet20(), tmp_path / "x.pt").sha256
    assert load(resnet20(), tmp_path / "x.pt", sha256=digest).sha256 == digest
    torch.save(state(6), tmp_path / "x.pt")
    with pytest.raises(StoreError, match=rf"has changed: its sha256 begins \w{{8}}, expected {digest[:8]}"):
        load(resnet20(), tmp_path / "x.pt", sha256=digest)


# hostile files
class Gadget:
    """Unpickled by a plain loader, it makes the file `marker`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.marker),))


@pytest.mark.parametrize("form", ["zip", "legacy", "bare pickle"])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".ckpt"])
def test_a_pickle_runs_nothing(form: str, suffix: str, tmp_path: Path) -> None:
    path, marker = tmp_path / f"evil{suffix}", tmp_path / "ran"
    content = {"state_dict": Gadget(marker)}
    if form == "bare pickle":
        path.write_bytes(pickle.dumps(content, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    line = refused(resnet20(), path)
    assert not marker.exists()
    assert line == "not a file of tensors: it asks for posix.mkdir; only plain tensors are read"
    pickle.loads(pickle.dumps(content))  # the gadget does work where it is let
    assert marker.exists()


def saved(content: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def repacked(data: bytes, how: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", how) as new:
        for record in old.infolist():
            new.writestr(record.filename, old.read(record))
    return buffer.getvalue()


def lying(data: bytes) -> bytes:
    """The central directory's sizes of the largest record are raised to a gigabyte."""
    raw, start = bytearray(data), 0
    while (start := raw.find(b"PK\x01\x02", start)) >= 0:
        raw[start + 20 : start + 28] = struct.pack("<II", 2**30, 2**30)
        start += 46
    return bytes(raw)


def bombs() -> dict[str, tuple[bytes, str]]:
    big = saved({"x": torch.zeros(250_000)})
    wide = saved({"x": torch.zeros(1).expand(10**6, 10**6)})
    assert len(wide) < 2000
    return {
        "compressed": (repacked(big, zipfile.ZIP_DEFLATED), "compressed records, which torch.save never writes"),
        "lying": (lying(big), "records that claim more than the file holds"),
        "stride 0": (wide, "tensor x claims 4,000,000,000,000 bytes, the file has 4"),
        "sparse": (saved({"x": torch.eye(3).to_sparse()}), "tensor x is not a plain one"),
        "meta": (saved({"x": torch.empty(10**9, device="meta")}), "tensor x is not a plain one"),
        "endless name": (saved({"n" * 501: torch.zeros(1)}), "a tensor has a name of 501 characters"),
        "no tensors": (saved({"epoch": 3, 4: torch.zeros(2)}), "holds no tensors"),
        "a list": (saved([torch.zeros(3)]), "holds no tensors"),
        "text": (b"PK, but no archive", "not a file of tensors: damaged or cut short"),
        "empty": (b"", "not a file of tensors: damaged or cut short"),
    }


@pytest.mark.parametrize("kind", bombs())
def test_bombs_are_refused(kind: str, tmp_path: Path) -> None:
    data, text = bombs()[kind]
    (tmp_path / "x.pt").write_bytes(data)
    assert refused(resnet20(), tmp_path / "x.pt") == text


@pytest.mark.parametrize("legacy", [False, True])
def test_cut_short_anywhere_is_refused(legacy: bool, tmp_path: Path) -> None:
    net, path = resnet20(), tmp_path / "x.pt"
    torch.save(state(), path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    for part in (1, 100, len(whole) // 2, len(whole) - 1000, len(whole) - 1):
        path.write_bytes(whole[:part])
        assert refused(net, path) == "not a file of tensors: damaged or cut short"


def test_hostile_safetensors_are_refused_with_the_file_named(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(struct.pack("<Q", 2**40) + b"{}")
    assert refused(resnet20(), tmp_path / "x.safetensors") == "not a safetensors file, or cut short (10 bytes)"


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(resnet20(), tmp_path / "gone.pt") == "no such file or directory"
    (tmp_path / "folder.pt").mkdir()
    assert refused(resnet20(), tmp_path / "folder.pt") == "is a directory"
    kinds = ".safetensors .pt .pth .th .bin .ckpt .tar"
    assert refused(resnet20(), tmp_path / "x.h5") == f"weights are files of {kinds}"
    (tmp_path / "x.pt").write_bytes(b"12345")
    monkeypatch.setattr(checkpoint, "MAX_BYTES", 4)
    assert refused(resnet20(), tmp_path / "x.pt") == "5 bytes, allowed 4"
