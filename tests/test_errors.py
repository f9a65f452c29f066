"""What a user reads when something is wrong: the line, what to do, the exit code; and what was not touched."""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pictures import cut_short, write_pictures

from transfer_cli.cli.main import main

Transfer = Callable[..., Any]
NOBODY = 65534
MLP = ("model=mlp", "trainer=tiny")


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")} if folder.exists() else set()


# configuration: nothing is made
CONFIGURATION = {
    "word": (["starategy=dann"], ["error: starategy: no such word; nearest: strategy; all: transfer run --help"]),
    "another's word": (["target=cifar10"], ["error: target=cifar10: the word is data=cifar10"]),
    "key": (
        ["fine_tune.layer_deacy=0.1"],
        [
            "error: fine_tune.layer_deacy: supervised has no such key; "
            "nearest: layer_decay (number > 0, <= 1, now 1)",
        ],
    ),
    "option": (
        ["strategy=few_shto"],
        ["error: strategy=few_shto: unknown; nearest: few_shot; see transfer list strategy"],
    ),
    "group": (["trainer=tinny"], ["error: trainer=tinny: unknown; nearest: tiny; see transfer list trainer"]),
    "type": (["trainer.steps=many"], ["error: trainer.steps=many: whole number >= 1, now 1000"]),
    "range": (["trainer.lr=-1"], ["error: trainer.lr=-1: number >= 0, now 0.05"]),
    "choice": (
        ["trainer.optimizer=sdg"],
        ["error: trainer.optimizer=sdg: one of sgd, adam, adamw, now sgd; nearest: sgd"],
    ),
    "code": (
        ["fine_tune.a.b._target_=os.system", "trainer.lr=0"],
        [
            "error: fine_tune.a.b._target_: not allowed: settings name files (method: dann), never code to run",
            "error: fine_tune.a: supervised has no such key; nearest: ema (number 0 to 1 or null)",
        ],
    ),
    "secret of the environment": (
        ["weights=${oc.env:HOME}"],
        ["error: weights=${oc.env:HOME}: only ${a.b} is allowed, as the whole value and naming a plain setting"],
    ),
    "scratch with weights": (
        ["strategy=scratch", "weights=imagenet"],
        [
            "error: weights=imagenet: strategy=scratch starts without weights",
            "  do: leave weights out, or say strategy=fine_tune",
        ],
    ),
    "several values": (["strategy=knn,none"], ["error: strategy: 2 values: add -m"]),
    "twice": (["seed=1", "seed=2", "seed=3"], ["error: seed: given 3 times; say seed=1..3 -m"]),
    "episodes without predictor": (
        ["evaluate.way=5"],
        ["error: evaluate.way=5: episodes need a predictor", "  do: predictor=prototypes"],
    ),
    "no such run": (
        ["weights=k8q"],
        ["error: weights=k8q: no such file, and no such run (none begins so)"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CONFIGURATION)
def test_a_wrong_configuration(kind: str, transfer: Transfer, tmp_path: Path) -> None:
    words, lines = CONFIGURATION[kind]
    told = transfer("run", "data=digits", *words)
    assert (told.code, told.out, told.err.splitlines()) == (2, "", lines)
    assert {name for name in files(tmp_path / "runs") if not name.startswith(".cache")} == set()


def test_all_faults_of_a_command_come_together(transfer: Transfer, tmp_path: Path) -> None:
    told = transfer(
        "run", "starategy=dann", "strategy=few_shto", "data=digits", "data.shotz=3", "seed=-1", "--mutlirun"
    )
    assert told.code == 2
    assert told.errors == [
        "error: --mutlirun: no such option; nearest: --multirun; all: transfer run --help",
        "error: starategy: no such word; nearest: strategy; all: transfer run --help",
        "error: strategy=few_shto: unknown; nearest: few_shot; see transfer list strategy",
        "error: seed=-1: whole number >= 0, now 0",
        "error: data.shotz: digits has no such key; nearest: shots (whole number >= 1 or null)",
    ]
    assert not (tmp_path / "runs").exists()


def test_the_faults_as_one_json_document(transfer: Transfer) -> None:
    told = transfer("run", "--json", "strategy=few_shto", "data=digits", "data.shotz=3")
    assert (told.code, told.out) == (2, "")
    error = json.loads(told.err)["error"]
    assert (error["code"], error["word"], error["value"], error["nearest"]) == (2, "strategy", "few_shto", "few_shot")
    assert "fine_tune" in error["allowed"]
    assert [more["key"] for more in error["more"]] == ["data.shotz"]


def test_a_traceback_only_with_debug(transfer: Transfer) -> None:
    told, debug = (transfer("run", "strategy=few_shto", *more) for more in ((), ("--debug",)))
    assert told.code == debug.code == 2
    assert "Traceback" not in told.err
    assert debug.err.startswith("Traceback (most recent call last)")
    assert debug.err.endswith(told.err)


# data
@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pics")


def test_data_that_are_not_there(transfer: Transfer, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("TRANSFER_DATA", str(tmp_path / "empty"))
    told = transfer("run", "data=mnist")
    assert told.code == 4
    assert told.err.splitlines() == [
        f"error: data=mnist: not in the data folder (TRANSFER_DATA: {tmp_path}/empty); "
        "wants MNIST/raw/train-images-idx3-ubyte.gz, 12 MB",
        "  do: transfer fetch mnist (network), or: transfer fetch mnist --from FILE",
    ]


DATA = {
    "align": (
        ["strategy=coral", "source=digits", "data=./pics", "model=lenet"],
        [
            "error: align=coral needs the same classes: digits 10, pics 2, 0 shared",
            "  do: strategy=fine_tune, or choose classes with data.classes",
        ],
    ),
    "base to novel": (
        ["strategy=none", "data=digits"],
        [
            "error: evaluate: the net's classes are not the target's: the net's 5, digits classes 5-9 5, 0 shared",
            "  do: strategy=fine_tune, or choose classes with data.classes",
        ],
    ),
    "nothing to transfer": (
        ["data=./pics"],
        ["error: data=./pics: nothing to transfer from; say weights=..., source=..., or strategy=scratch"],
    ),
    "no source": (
        ["data=digits", "source=none", "strategy=coral", "pretrain=none"],
        [
            "error: align=coral: needs a source, and source is none",
            "  do: source=NAME, weights=..., or strategy=scratch",
        ],
    ),
    "shots": (
        ["data=digits", "data.shots=500"],
        ["error: data.shots=500: class 8 has 104 labels to learn from; allowed 1 to 104"],
    ),
    "way": (
        ["data=digits", "strategy=few_shot", "evaluate.way=7"],
        ["error: evaluate.way=7: digits classes 5-9 has 5 classes", "  do: evaluate.way=5"],
    ),
    "episode shots": (
        ["data=digits", "strategy=few_shot", "evaluate.shots=700"],
        ["error: evaluate.shots=700: class 8 has 104 train rows; allowed 1 to 104"],
    ),
    "episode queries": (
        ["data=digits", "strategy=few_shot", "evaluate.queries=700"],
        ["error: evaluate.queries=700: class 8 has 35 test rows; allowed 1 to 35"],
    ),
    "no folder": (["data=./nope", "strategy=scratch"], ["error: data=./nope: no such folder or file"]),
}


@pytest.mark.parametrize("kind", DATA)
def test_data_that_do_not_fit(kind: str, transfer: Transfer, pictures: Path) -> None:
    words, lines = DATA[kind]
    told = transfer("run", *words)
    assert (told.code, told.out, told.err.splitlines()) == (4, "", lines)


@pytest.mark.parametrize("source", [["source=digits"], ["strategy=scratch"]])
def test_a_corrupt_picture_stops_the_run_before_any_training(
    source: list[str], transfer: Transfer, pictures: Path, tmp_path: Path
) -> None:
    for name in ("cat/03.png", "dog/05.png"):
        cut_short(pictures / name)
    told = transfer("run", "data=./pics", *source, *MLP)
    assert (told.code, told.out) == (4, "")
    line, do = told.errors
    assert line.startswith("error: pics/cat/03.png: PNG ends at byte 60 of ")
    assert do == "  do: transfer data check pics -o good.yaml, then data=good.yaml"
    assert "done" not in told.err
    assert not list((tmp_path / "runs" / ".store").glob("*/DONE"))


def test_a_method_that_cannot_take_the_net_is_told_before_pretraining(transfer: Transfer, tmp_path: Path) -> None:
    told = transfer("run", "strategy=adabn", "source=digits", "data=digits", *MLP)
    assert (told.code, told.out) == (2, "")
    assert told.errors == ["error: align=adabn: the net has no BatchNorm layer", "  do: model=conv4 or resnet20"]
    assert not list((tmp_path / "runs" / ".store").glob("*/DONE"))


# weights
class Gadget:
    """Unpickled by a plain loader, it makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.marker),))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    import torch

    folder = tmp_path / "weights"
    folder.mkdir()
    torch.save({"layer1.weight": torch.zeros(3, 3)}, folder / "other.pt")
    torch.save({"state_dict": Gadget(tmp_path / "ran")}, folder / "evil.pt")
    shutil.copy(folder / "other.pt", folder / "cut.pt")
    cut_short(folder / "cut.pt", 500)
    return folder


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("other.pt", "4 of 4 tensors do not fit mlp, first layers.0.0.weight, which is missing"),
        ("evil.pt", "not a file of tensors: it asks for posix.mkdir; only plain tensors are read"),
        ("cut.pt", "not a file of tensors: damaged or cut short"),
        ("gone.pt", "no such file"),
        ("", "is a folder; name a .safetensors, .pth, .th or .pt file"),
    ],
)
def test_bad_weights(name: str, text: str, transfer: Transfer, weights: Path, tmp_path: Path) -> None:
    told = transfer("run", "data=digits", "strategy=knn", *MLP, f"weights=./weights/{name}")
    path = f"./weights/{name}" if name in ("gone.pt", "") else f"weights/{name}"
    assert (told.code, told.out, told.errors) == (5, "", [f"error: weights={path}: {text}"])
    assert not (tmp_path / "ran").exists()


def test_a_run_whose_classes_do_not_fit(transfer: Transfer) -> None:
    assert transfer("run", "data=digits", "strategy=none", "source=digits", "source.classes=[0,1]", *MLP).code == 4
    assert transfer("run", "data=digits", "strategy=scratch", *MLP, "-q").code == 0
    told = transfer("run", "data=digits", "strategy=none", "weights=last", *MLP)
    assert (told.code, told.out) == (4, "")
    assert told.errors == [
        "error: evaluate: the net has 5 classes, digits has 10, 5 shared",
        "  do: strategy=linear_probe or fine_tune gives it a new head",
    ]


def test_weights_of_a_run_that_are_gone(transfer: Transfer, tmp_path: Path) -> None:
    assert transfer("run", "data=digits", "strategy=scratch", *MLP, "-q").code == 0
    for stage in (tmp_path / "runs" / ".store").glob("?" * 32):
        shutil.rmtree(stage)
    told = transfer("run", "data=digits", "strategy=linear_probe", "weights=last", *MLP)
    assert (told.code, told.out) == (5, "")
    assert told.errors == [
        "error: weights: the net of that run is damaged, or no longer in the store",
        "  do: run that run's words again; they are in its overrides.txt",
    ]


# runs
@pytest.mark.parametrize("argv", [["show"], ["compare"], ["resume"], ["predict"]])
def test_an_unknown_run(argv: list[str], transfer: Transfer, pictures: Path) -> None:
    path = ["./pics"] if argv == ["predict"] else []
    told = transfer(*argv, "k8q", *path)
    assert (told.code, told.out) == (2, "")
    assert told.err.splitlines() == ["error: run k8q: none begins so", "  do: transfer list"]


def test_the_nearest_run_is_named(transfer: Transfer) -> None:
    path = Path(transfer("run", "data=digits", "strategy=scratch", *MLP, "-q").out.strip())
    name = path.name[-6:]
    told = transfer("show", name[:3] + "u")
    assert told.code == 2
    assert told.errors[0] == f"error: run {name[:3]}u: none begins so; nearest: {name} (scratch digits, 1 min ago)"


def test_no_words_for_a_command_that_takes_none(transfer: Transfer) -> None:
    assert transfer("run", "data=digits", "strategy=scratch", *MLP, "-q").code == 0
    told = transfer("resume", "last", "trainer.steps=5")
    assert told.code == 2
    assert told.errors[0] == "error: trainer.steps=5: resume takes a RUN; its own words decide"
    assert transfer("show", "last", "data=digits").errors == ["error: show: takes a RUN or words, not both"]
    told = transfer("clean", "last")
    assert told.errors == ["error: clean: takes no words; it shows what no run uses, and deletes that with -y"]


# permission
@pytest.fixture
def locked() -> Iterator[Path]:
    """A runs folder that nobody else may write, in a folder that everybody may enter."""
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    (root / "runs").mkdir()
    (root / "runs").chmod(0o555)
    yield root / "runs"
    shutil.rmtree(root)


def test_no_write_permission(locked: Path, tmp_path: Path) -> None:
    """Tried by a child that is not root, for root may write everywhere."""
    owner = ", other owner" if os.geteuid() == 0 else ""
    with (tmp_path / "said").open("w+b") as said:
        child = os.fork()
        if not child:
            os._exit(_run_as_nobody(said.fileno(), locked))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
        said.seek(0)
        lines = said.read().decode().splitlines()
    assert lines == [
        f"error: cannot write to {locked}: permission denied (mode 555{owner})",
        "  do: choose another directory with --runs DIR",
    ]
    assert list(locked.iterdir()) == []


def _run_as_nobody(stderr: int, runs: Path) -> int:
    sys.stderr = os.fdopen(stderr, "w", buffering=1, closefd=False)
    os.chdir("/")
    if os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    return main(["run", "data=digits", "strategy=scratch", *MLP, "--runs", str(runs)])


# secrets
def test_no_secret_reaches_the_run_directory(transfer: Transfer, tmp_path: Path, monkeypatch: Any) -> None:
    for name in ("MY_TOKEN", "TRANSFER_API_TOKEN", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "canary")
    number = "metric: test/accuracy, rule: final, value: 1, tolerance: 1, n: 1"
    word = f"expect={{{number}, source: 'https://me:canary@host/x'}}"
    assert transfer("run", "data=digits", "strategy=scratch", *MLP, word).code == 0
    assert transfer("run", "-m", "data=digits", "strategy=scratch", *MLP, "seed=0", word).code == 0
    written = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert len(written) > 20
    assert [str(path) for path in written if b"canary" in path.read_bytes()] == []
    assert any(b"***" in path.read_bytes() for path in written)
