"""Fetching data: checksums, locations, malicious archives, and no network access unless it is allowed."""

import hashlib
import io
import socket
import tarfile
from pathlib import Path

import pytest

from transfer_cli.data.fetch import datasets, imagenet
from transfer_cli.data.fetch import download as net
from transfer_cli.data.fetch.download import Remote
from transfer_cli.data.fetch.unpack import unpack
from transfer_cli.errors import ConfigError, DataError, StoreError


def lines(error) -> list[str]:
    return [fault.line() for fault in error.value.faults]


def remote(data: bytes, name="a.bin", mb=0.001) -> Remote:
    return Remote(f"https://example.org/{name}", hashlib.sha256(data).hexdigest()[:8], mb, f"raw/{name}")


class Served:
    """A network of files: address -> bytes. Counts requests."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.asked = files, []

    def open(self, request, timeout):
        self.asked.append(request.full_url)
        if request.full_url not in self.files:
            raise net.URLError("no such host")
        return io.BytesIO(self.files[request.full_url])


@pytest.fixture
def served(monkeypatch):
    network = Served({})
    monkeypatch.setattr(net, "_opener", lambda: network)
    monkeypatch.delenv("TRANSFER_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFER_DATA", raising=False)
    return network


@pytest.fixture
def tiny(monkeypatch, served):
    """usps as two tiny published files."""
    contents = {"usps.bz2": b"first", "usps.t.bz2": b"second"}
    files = tuple(
        Remote(f"https://example.org/{name}", hashlib.md5(data, usedforsecurity=False).hexdigest(), 0.001, name)
        for name, data in contents.items()
    )
    monkeypatch.setitem(datasets.SETS, "usps", datasets.Published(files, "not stated"))  # type: ignore[arg-type]
    served.files |= {f"https://example.org/{name}": data for name, data in contents.items()}
    return contents


def test_bring_checks_and_places(tmp_path, tiny, served):
    talk: list[str] = []
    datasets.bring("usps", tmp_path, talk=talk.append)
    folder = tmp_path / "data" / "usps"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == tiny
    assert talk[0] == f"usps: 2 files, 0 MB, licence not stated, to {folder}"
    assert datasets.here("usps", tmp_path)
    datasets.bring("usps", tmp_path)
    assert len(served.asked) == 2


def test_an_interrupted_fetch_continues_with_the_missing_files(tmp_path, tiny, served):
    second = served.files.pop("https://example.org/usps.t.bz2")
    with pytest.raises(DataError, match=r"usps\.t\.bz2: cannot be fetched: no such host"):
        datasets.bring("usps", tmp_path)
    served.files["https://example.org/usps.t.bz2"] = second
    datasets.bring("usps", tmp_path)
    assert [url.rsplit("/", 1)[1] for url in served.asked] == ["usps.bz2", "usps.t.bz2", "usps.t.bz2"]


def test_a_file_with_a_wrong_checksum_is_removed(tmp_path, tiny, served):
    served.files["https://example.org/usps.bz2"] = b"evil"
    with pytest.raises(
        DataError, match=r"usps\.bz2: is another file: checksum 4034a346\.\.\., published 8b04d5e3\.\.\."
    ):
        datasets.bring("usps", tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize("how", ["option", "variable"])
def test_offline_forbids(tmp_path, tiny, served, monkeypatch, how):
    if how == "variable":
        monkeypatch.setenv("TRANSFER_OFFLINE", "1")
    with pytest.raises(DataError) as error:
        datasets.bring("usps", tmp_path, offline=how == "option")
    told = "data=usps: not in the data folder (TRANSFER_DATA: not set); wants usps.bz2, 0 MB"
    assert lines(error) == [f"{told}; the network is off (--offline or TRANSFER_OFFLINE)"]
    assert served.asked == []


def test_tests_cannot_reach_the_network(tmp_path, monkeypatch):
    monkeypatch.setattr(socket.socket, "connect", lambda *a: pytest.fail("connected"))
    monkeypatch.setenv("TRANSFER_OFFLINE", "1")
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path))
    for bring in (datasets.bring, datasets.bring_weights):
        with pytest.raises(DataError):
            bring("mnist" if bring is datasets.bring else "resnet18", tmp_path)


def test_absent_returns_the_missing_data_sets(tmp_path, tiny):
    values = {"data": {"family": "torchvision", "name": "usps"}, "source": {"family": "base"}}
    assert datasets.absent(values, tmp_path) == ["usps"]
    datasets.bring("usps", tmp_path)
    assert datasets.absent(values, tmp_path) == []
    assert datasets.absent({"data": {"family": "digits"}, "source": None}, tmp_path) == []


def test_from_file_accepts_published_files(tmp_path, tiny, served):
    (tmp_path / "renamed").write_bytes(b"second")
    gone = datasets.take("usps", tmp_path / "renamed", tmp_path / "cache")
    assert [path.name for path in gone] == ["usps.bz2"]
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_bytes(b"first")
    assert datasets.take("usps", tmp_path / "folder", tmp_path / "cache") == []
    assert datasets.here("usps", tmp_path / "cache")
    assert served.asked == []


def test_from_file_refuses_another_file(tmp_path, tiny):
    (tmp_path / "x").write_bytes(b"third")
    with pytest.raises(DataError) as error:
        datasets.take("usps", tmp_path / "x", tmp_path / "cache")
    want = "usps.bz2 8b04d5e3..., usps.t.bz2 a9f0e61a..."
    assert lines(error) == [f"--from={tmp_path}/x: not what is published for usps ({want})"]
    with pytest.raises(DataError, match="no such file"):
        datasets.take("usps", tmp_path / "y", tmp_path / "cache")


def test_an_endless_response_is_aborted(tmp_path, served):
    wanted = remote(b"")
    served.files[wanted.url] = b"x" * 3_000_000
    with pytest.raises(DataError, match="does not end after"):
        net.download(wanted, tmp_path / "a", lambda text: None)
    assert not list(tmp_path.iterdir())


def test_only_https_is_followed():
    with pytest.raises(net.URLError, match="redirected to http, which is not https"):
        net._HttpsOnly().redirect_request(None, None, 302, "", {}, "http://example.org/a")  # type: ignore[arg-type]


def test_published_files_are_those_of_torchvision():
    """Addresses and checksums read from torchvision's sources as text: importing it takes seconds. Ours are https where
    torchvision's are not; Fashion-MNIST's come from its makers' own repository."""
    names = ("mnist", "usps", "svhn", "cifar")
    text = "".join((imagenet._models().parent / "datasets" / f"{name}.py").read_text() for name in names)
    text = text.replace("http://", "https://")
    for name, one in datasets.SETS.items():
        for file in one.files:
            assert file.checksum in text
            assert file.url.startswith("https://")
            assert file.name in text
            assert name == "fashion_mnist" or file.url in text or file.url.rsplit("/", 1)[0] + "/" in text


def test_a_set_without_its_training_files_can_still_be_fetched(tmp_path, served):
    folder = tmp_path / "data" / "kmnist" / "KMNIST" / "raw"
    folder.mkdir(parents=True)
    for kind in ("images-idx3", "labels-idx1"):
        (folder / f"t10k-{kind}-ubyte.gz").touch()
    values = {"data": {"family": "torchvision", "name": "kmnist"}}
    assert datasets.absent(values, tmp_path) == []  # runs work without it
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz: cannot be fetched"):
        datasets.bring("kmnist", tmp_path)


def test_an_archive_becomes_its_folder(tmp_path, served, monkeypatch):
    from transfer_cli.data.formats import cifar

    data = archive({f"cifar-10-batches-py/{name}": b"x" for name in cifar.BATCHES})
    file = Remote("https://example.org/c.tar.gz", hashlib.sha256(data).hexdigest(), 0.01, "c.tar.gz")
    monkeypatch.setitem(datasets.SETS, "cifar10", datasets.Published((file,), "not stated"))  # type: ignore[arg-type]
    served.files[file.url] = data
    datasets.bring("cifar10", tmp_path)
    assert sorted(path.name for path in (tmp_path / "data" / "cifar10").iterdir()) == ["cifar-10-batches-py"]
    assert datasets.here("cifar10", tmp_path)


def archive(files: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in extra:
            tar.addfile(member)
    return out.getvalue()


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "data",
    [
        archive({"../escape": b"x"}),
        archive({"a/../../escape": b"x"}),
        archive({}, link("a", "/etc/passwd", tarfile.SYMTYPE)),
        archive({}, link("a", "../../escape", tarfile.SYMTYPE)),
        archive({}, link("a", "../escape", tarfile.LNKTYPE)),
        archive({}, link("a", "", tarfile.CHRTYPE)),
        archive({}, link("a", "", tarfile.FIFOTYPE)),
        archive({"bomb": b"\0" * 3_000_000}),
        archive({"a": b"x" * 900})[:-30],
        b"no archive",
    ],
    ids=[
        "dotdot",
        "inner dotdot",
        "absolute link",
        "link out",
        "hard link out",
        "device",
        "fifo",
        "bomb",
        "cut",
        "none",
    ],
)
def test_hostile_archives_write_nothing_outside(tmp_path, data):
    (tmp_path / "x.tar.gz").write_bytes(data)
    with pytest.raises(DataError, match=r"x\.tar\.gz: not unpacked"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "in" / "here")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()] == ["x.tar.gz"]


def test_an_absolute_name_is_unpacked_inside(tmp_path):
    """tarfile's data filter strips the leading slash."""
    (tmp_path / "x.tar.gz").write_bytes(archive({"/tmp/transfer-escape": b"x"}))
    unpack(tmp_path / "x.tar.gz", tmp_path / "in")
    assert not Path("/tmp/transfer-escape").exists()
    assert (tmp_path / "in" / "tmp" / "transfer-escape").is_file()


def test_too_many_members(tmp_path, monkeypatch):
    from transfer_cli.data.fetch import unpack as module

    monkeypatch.setattr(module, "MEMBERS", 3)
    (tmp_path / "x.tar.gz").write_bytes(archive({str(n): b"" for n in range(4)}))
    with pytest.raises(DataError, match="more than 3 members"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "in")


# ImageNet weights
def test_addresses_of_weights_are_read_from_the_package():
    found = imagenet.remote("resnet18")
    assert found == Remote("https://download.pytorch.org/models/resnet18-f37072fd.pth", "f37072fd", 44.661, found.place)
    assert imagenet.remote("nothing_like_it") is None
    assert len(imagenet.names()) >= 80
    assert all(imagenet.remote(name) for name in imagenet.names())


def test_missing_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    model = {"family": "torchvision", "name": "resnet18"}
    with pytest.raises(StoreError) as error:
        datasets.imagenet_file(model, tmp_path / "cache")
    folders = f"{tmp_path}/data/weights, {tmp_path}/torch/hub/checkpoints, {tmp_path}/cache/data/weights"
    assert lines(error) == [f"weights=imagenet: resnet18-f37072fd.pth, 45 MB, is in none of {folders}"]
    (tmp_path / "data" / "weights").mkdir(parents=True)
    (tmp_path / "data" / "weights" / "resnet18-f37072fd.pth").touch()
    assert datasets.imagenet_file(model, tmp_path / "cache").parent == tmp_path / "data" / "weights"


def test_models_without_imagenet_weights(tmp_path):
    with pytest.raises(ConfigError, match="weights=imagenet: lenet has no ImageNet weights"):
        datasets.imagenet_file({"family": "lenet"}, tmp_path)


def test_an_unknown_name_has_a_nearest_one():
    with pytest.raises(ConfigError) as error:
        datasets.wanted("resnt18")
    assert lines(error) == [
        "fetch=resnt18: neither a data set that can be fetched nor a torchvision model; nearest: resnet18"
    ]
    with pytest.raises(ConfigError, match="nearest: mnist"):
        datasets.wanted("mnst")
