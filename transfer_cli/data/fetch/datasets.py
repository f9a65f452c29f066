"""Downloads named data sets and torchvision's ImageNet weights, or copies them from a local file.
Writes to <cache>/data; $TRANSFER_DATA is only read. Checksums are those in the source code of torchvision 0.29, and so
are addresses that begin with https."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from transfer_cli.data.contracts import Places, missing
from transfer_cli.data.fetch import imagenet
from transfer_cli.data.fetch.download import Remote, Talk, download, forbidden, matches, place
from transfer_cli.data.fetch.unpack import unpack
from transfer_cli.data.readers.torchvision import locate
from transfer_cli.errors import ConfigError, DataError, Fault, StoreError, nearest

_LIBSVM = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/"


class Published(NamedTuple):
    """A data set that can be downloaded: its files, and its licence as stated by the authors."""

    files: tuple[Remote, ...]
    licence: str

    @property
    def mb(self) -> float:
        return sum(file.mb for file in self.files)


def _idx(address: str, folder: str, sums: tuple[str, str, str, str], mb: tuple[float, float]) -> tuple[Remote, ...]:
    """The four files of a data set in the format of MNIST. `sums` (md5) and `mb` (of the pictures): train first."""
    names = [f"{stem}-{kind}-ubyte.gz" for stem in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
    sizes = (mb[0], 0.03, mb[1], 0.005)
    return tuple(
        Remote(address + name, md5, size, f"{folder}/raw/{name}")
        for name, md5, size in zip(names, sums, sizes, strict=True)
    )


MNIST = _idx(
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "MNIST",
    (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    (9.9, 1.6),
)
FASHION = _idx(  # torchvision's own mirror has no https
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "FashionMNIST",
    (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    (26.4, 4.4),
)
KMNIST = _idx(
    "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    "KMNIST",
    (
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
    (18.2, 3.0),
)
USPS = (
    Remote(f"{_LIBSVM}usps.bz2", "ec16c51db3855ca6c91edd34d0e9b197", 6.6, "usps.bz2"),
    Remote(f"{_LIBSVM}usps.t.bz2", "8ea070ee2aca1ac39742fdd1ef5ed118", 1.8, "usps.t.bz2"),
)
_SVHN = "https://ufldl.stanford.edu/housenumbers/"
SVHN = (
    Remote(f"{_SVHN}train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373", 182.0, "train_32x32.mat"),
    Remote(f"{_SVHN}test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3", 64.3, "test_32x32.mat"),
)


def _cifar(name: str, md5: str, mb: float) -> tuple[Remote, ...]:
    return (Remote(f"https://www.cs.toronto.edu/~kriz/{name}", md5, mb, name),)


CIFAR10 = _cifar("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", 170.5)
CIFAR100 = _cifar("cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", 169.0)
SETS: Mapping[str, Published] = {
    "mnist": Published(MNIST, "CC BY-SA 3.0"),
    "fashion_mnist": Published(FASHION, "MIT"),
    "kmnist": Published(KMNIST, "CC BY-SA 4.0"),
    "usps": Published(USPS, "not stated"),
    "svhn": Published(SVHN, "non-commercial use"),
    "cifar10": Published(CIFAR10, "not stated"),
    "cifar100": Published(CIFAR100, "not stated"),
}


def here(name: str, cache: Path, *, whole: bool = False) -> bool:
    """Whether a data set is in one of the folders that a run searches. `whole`: including the training files, even if
    runs work without them."""
    try:
        return "train" in locate(name, Places(cache)) or not whole
    except DataError:
        return False


def absent(values: Mapping[str, Any], cache: Path) -> list[str]:
    """Data sets that a configuration uses and that are not on this machine but can be downloaded."""
    nodes = (values.get(word) or {} for word in ("data", "source"))
    names = dict.fromkeys(str(node["name"]) for node in nodes if node.get("family") == "torchvision")
    return [name for name in names if name in SETS and not here(name, cache)]


def bring(name: str, cache: Path, *, offline: bool = False, talk: Talk = lambda text: None) -> None:
    """Downloads a data set unless it is on this machine. Raises DataError if the network is off or the download
    fails."""
    if here(name, cache, whole=True):
        return
    chosen = published(name)
    if forbidden(offline):
        raise DataError(_off(missing("data", name, chosen.files[0].name, chosen.mb)))
    talk(f"{name}: {_files(chosen)}, {chosen.mb:,.0f} MB, licence {chosen.licence}, to {cache / 'data' / name}")
    for file in chosen.files:
        dest = cache / "data" / name / file.place
        if not (dest.is_file() and matches(dest, file)):
            download(file, dest, talk)
    _open_archives(chosen, cache / "data" / name)


def _off(fault: Fault) -> Fault:
    return replace(fault, text=f"{fault.text}; the network is off (--offline or TRANSFER_OFFLINE)")


def _files(chosen: Published) -> str:
    return "1 file" if len(chosen.files) == 1 else f"{len(chosen.files)} files"


def published(name: str) -> Published:
    """The entry of a data set that can be downloaded. Raises ConfigError with the nearest name if there is none."""
    if name in SETS:
        return SETS[name]
    raise ConfigError(Fault("fetch", "no such data set", name, tuple(SETS), nearest(name, list(SETS))))


def take(name: str, file: Path, cache: Path) -> list[Path]:
    """Place a local file (or the files of a folder) where a run finds it, if it is what is published under `name`:
    a data set or a torchvision model. Gives the files still missing. DataError if nothing fits."""
    remotes = wanted(name)
    files = sorted(path for path in file.iterdir() if path.is_file()) if file.is_dir() else [file]
    if not all(path.is_file() for path in files):
        raise DataError(Fault("--from", "no such file", str(file)))
    pairs = [(path, remote) for path in files for remote in remotes if matches(path, remote)]
    if not pairs:
        sums = ", ".join(f"{remote.name} {remote.checksum[:8]}..." for remote in remotes)
        raise DataError(Fault("--from", f"not what is published for {name} ({sums})", str(file)))
    for path, remote in pairs:
        place(path, remote, _folder(name, cache) / remote.place)
    if name in SETS:
        _open_archives(SETS[name], cache / "data" / name)
    missing_files = [remote for remote in remotes if remote not in [placed for _, placed in pairs]]
    return [path for remote in missing_files if not (path := _folder(name, cache) / remote.place).is_file()]


def wanted(name: str) -> tuple[Remote, ...]:
    """Published files of a data set, or of the ImageNet weights of a torchvision model. Raises ConfigError for other
    names."""
    if name in SETS:
        return SETS[name].files
    if (weights := imagenet.remote(name)) is not None:
        return (weights,)
    text = "neither a data set that can be fetched nor a torchvision model"
    raise ConfigError(Fault("fetch", text, name, tuple(SETS), nearest(name, [*SETS, *imagenet.names()])))


def _folder(name: str, cache: Path) -> Path:
    return cache / "data" / (name if name in SETS else "weights")


def _open_archives(chosen: Published, folder: Path) -> None:
    """Unpacks archives to a temporary folder, then renames it, so that an interrupted call leaves no partial data set.
    Deletes the archives afterwards."""
    for remote in chosen.files:
        archive = folder / remote.place
        if archive.suffixes[-2:] != [".tar", ".gz"] or not archive.is_file():
            continue
        tmp = folder / f".unpack.{os.getpid()}"
        try:
            unpack(archive, tmp)
            for inside in tmp.iterdir():
                shutil.rmtree(folder / inside.name, ignore_errors=True)  # left by an earlier, interrupted call
                inside.replace(folder / inside.name)
            archive.unlink()
        finally:
            shutil.rmtree(tmp, ignore_errors=True)


def imagenet_file(model: Mapping[str, Any], cache: Path) -> Path:
    """The local file of torchvision's ImageNet weights for a model node: in $TRANSFER_DATA/weights, in the cache of
    torch hub, or fetched before. Downloads nothing: raises StoreError with the file, the folders and the command if it
    is missing, ConfigError if torchvision has no such weights."""
    name = str(model.get("name", model["family"]))
    remote = imagenet.remote(name) if model["family"] == "torchvision" else None
    if remote is None:
        raise ConfigError(Fault("weights", f"{name} has no ImageNet weights in torchvision", "imagenet"))
    folders = [*_weight_folders(), cache / "data" / "weights"]
    for folder in folders:
        if (folder / remote.name).is_file():
            return folder / remote.name
    where = ", ".join(map(str, folders))
    do = f"transfer fetch {name} (network), or: transfer fetch {name} --from FILE"
    raise StoreError(Fault("weights", f"{remote.name}, {remote.mb:,.0f} MB, is in none of {where}", "imagenet", do=do))


def _weight_folders() -> list[Path]:
    root = os.environ.get("TRANSFER_DATA")
    default = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "torch"
    hub = Path(os.environ.get("TORCH_HOME", default)).expanduser() / "hub" / "checkpoints"
    return [*([Path(root).expanduser() / "weights"] if root else []), hub]


def bring_weights(name: str, cache: Path, *, offline: bool = False, talk: Talk = lambda text: None) -> Path:
    """Downloads the ImageNet weights of a torchvision model unless they are on this machine. Raises DataError if the
    network is off or the download fails."""
    try:
        return imagenet_file({"family": "torchvision", "name": name}, cache)
    except StoreError as error:
        if forbidden(offline):
            raise DataError(*map(_off, error.faults)) from None
    (remote,) = wanted(name)
    return download(remote, _folder(name, cache) / remote.place, talk)
