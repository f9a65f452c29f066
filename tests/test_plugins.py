"""Code and settings of users: a package with a method, a model, a data set; folders of YAML files."""

import csv
import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pictures import write_pictures

from transfer_cli.errors import ConfigError
from transfer_cli.plugins import camel, load_class

Transfer = Callable[..., Any]
FILES = {
    "methods/halve.py": '''
        """A method that shrinks what it trains."""
        from transfer_cli.contracts import MethodInputs, Loss, Method, Stream

        class Halve(Method):
            """Supervised training with a penalty on the head."""

            streams = {"target": Stream()}

            def __init__(self, given: MethodInputs, *, penalty: float = 0.1) -> None:
                super().__init__()
                self.net, self.task, self.penalty = given.net, given.tasks["target"], penalty

            def param_groups(self):
                return {"net": [self.net]}

            def step(self, batch, at):
                rows = batch["target"]
                head = self.net.heads[self.task.head]
                value = self.task.loss(self.net(rows.inputs, self.task.head), rows)
                yield Loss("net", value + self.penalty * head.weight.square().mean())
        ''',
    "models/flat.py": '''
        """One linear layer."""
        from torch import nn
        from transfer_cli.kinds.pictures import InputSpec
        from transfer_cli.models.backbone import Backbone

        class Flat(Backbone):
            """Pixels through one linear layer."""

            def __init__(self, input: InputSpec, *, features: int = 8) -> None:
                super().__init__(features)
                self.layer = nn.Linear(input.channels * input.crop**2, features)

            def forward(self, pixels):
                return self.layer(pixels.flatten(1)).relu()

            def blocks(self):
                return [self.layer]
        ''',
    "data/readers/stripes.py": '''
        """Pictures with one bright column, whose place is the class."""
        from pathlib import Path
        import numpy as np
        from transfer_cli.data.contracts import Places, Raw, RawPart, numbered

        class Stripes:
            """Drawn, not stored."""

            def __init__(self, *, rows: int = 60) -> None:
                self.rows = rows

            def open(self, places: Places) -> Raw:
                labels = np.arange(self.rows) % 4
                part = RawPart(labels.astype(np.int64), numbered("stripes", "all"), rows=lambda: _draw(labels))
                return Raw("stripes", ("a", "b", "c", "d"), {"train": part}, (Path(__file__),), test_fraction=0.2)

        def _draw(labels):
            pixels = np.random.default_rng(0).integers(0, 60, (len(labels), 8, 8), dtype=np.uint8)
            pixels[np.arange(len(labels)), :, labels * 2] = 255
            return pixels
        ''',
    "predictors/nearest.py": '''
        """Nearest row."""
        import torch
        from torch.nn.functional import one_hot

        class Nearest:
            """Minus the distance to the nearest row of a class."""

            def __init__(self, *, power: int = 2) -> None:
                self.power = power

            def scores(self, support, labels, query, ways):
                far = torch.cdist(query, support)
                own = one_hot(labels, ways).bool()[:, None]
                return -far[..., None].where(own, torch.inf).amin(2) ** self.power
        ''',
    "conf/method/halve.yaml": """
        # Training that shrinks the head.   transfer run plugins=[PACKAGE] fine_tune=halve
        method: halve
        penalty: 0.1
        """,
    "conf/model/flat.yaml": """
        # One linear layer.   transfer run plugins=[PACKAGE] model=flat
        family: flat
        features: 8
        input: {channels: 1, size: 8, crop: 8, mean: [0.5], std: [0.5]}
        precision: fp32
        channels_last: false
        """,
    "conf/data/stripes.yaml": """
        # Bright columns, 8x8 grey, 4 classes.   transfer run plugins=[PACKAGE] data=stripes
        family: stripes
        rows: 60
        default_model: flat
        """,
    "conf/predictor/nearest.yaml": """
        # The nearest row.   transfer run plugins=[PACKAGE] predictor=nearest
        predictor: nearest
        power: 2
        """,
    "conf/strategy/shrunk.yaml": """
        # @package _global_
        # Learns the target with a small head.   transfer run plugins=[PACKAGE] strategy=shrunk data=stripes
        defaults:
          - override /method@pretrain: none
          - override /method@align: none
          - override /method@fine_tune: halve
        """,
}  # fmt: skip


def write(root: Path, files: dict[str, str], package: str = "") -> None:
    import textwrap

    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip().replace("PACKAGE", package))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: Any, request: Any) -> Iterator[str]:
    """An installed package of the user's; each test has one of its own name, for modules are imported once."""
    name = f"own_{request.node.name.partition('[')[0]}"
    write(tmp_path / "site" / name, FILES, name)
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield name
    for module in [module for module in sys.modules if module.partition(".")[0] == name]:
        del sys.modules[module]


def results(told: Any) -> dict[str, Any]:
    assert told.code == 0, told.err
    return dict(json.loads((Path(told.out.strip()) / "results.json").read_text()))


# a package
def test_all_parts_of_a_plugin_package_run_and_predict(package: str, transfer: Transfer, tmp_path: Path) -> None:
    words = [f"plugins=[{package}]", "strategy=shrunk", "data=stripes", "fine_tune.penalty=0.2", "trainer=tiny"]
    run = results(transfer("run", "-q", *words))
    assert run["choices"].items() >= {"strategy": "shrunk", "data": "stripes", "model": "flat"}.items()
    assert run["choices"]["fine_tune"] == "halve"
    assert run["config"]["fine_tune"]["penalty"] == 0.2
    assert run["config"]["model"] | {"input": None} == {
        "family": "flat", "features": 8, "input": None, "precision": "fp32", "channels_last": False,
    }  # fmt: skip
    told = transfer("show", *words)
    assert told.out.count("cached") == 2
    write_pictures(tmp_path / "new", side=8)
    told = transfer("predict", "last", "./new", f"plugins=[{package}]")
    assert told.code == 0, told.err
    rows = list(csv.DictReader(told.out.splitlines()))
    assert len(rows) == 24
    assert list(rows[0]) == ["path", "class", "p_c", "p_d", "error"]  # source=base took a, b


def test_a_predictor_of_a_package(package: str, transfer: Transfer) -> None:
    run = results(
        transfer(
            "run", "-q", f"plugins=[{package}]", "strategy=knn", "predictor=nearest", "data=stripes", "trainer=tiny"
        )
    )
    assert run["config"]["evaluate"]["predictor"] == {"predictor": "nearest", "power": 2}
    assert run["headline"]["value"] > 0.5


@pytest.mark.slow  # a fork server starts and loads torch
def test_a_run_of_a_package_in_a_sweeps_child(package: str, transfer: Transfer) -> None:
    """A child of a sweep is a new process, which must import the package again."""
    words = [f"plugins=[{package}]", "strategy=shrunk", "data=stripes", "trainer=tiny", "seed=0,1"]
    told = transfer("run", "-m", *words)
    assert told.code == 0, told.err
    assert transfer("list", "--json").out.count('"done') == 2


def test_an_edited_method_of_a_package_is_computed_again(package: str, transfer: Transfer, tmp_path: Path) -> None:
    words = ["-q", f"plugins=[{package}]", "strategy=shrunk", "data=stripes", "trainer=tiny"]
    first = results(transfer("run", *words))
    method = tmp_path / "site" / package / "methods" / "halve.py"
    method.write_text(method.read_text() + "\n# a comment\n")
    assert [stage["cached"] for stage in results(transfer("run", *words))["stages"][2:]] == [True, True]
    method.write_text(method.read_text().replace(".square()", ".abs()"))
    importlib.invalidate_caches()
    again = results(transfer("run", *words))
    assert [stage["cached"] for stage in again["stages"][2:]] == [False, False]
    assert again["stages"][2]["key"] != first["stages"][2]["key"]


def test_a_record_cannot_load_a_package(package: str, transfer: Transfer, tmp_path: Path) -> None:
    """Only arguments of the user can load packages, because runs/ may come from another person."""
    words = [f"plugins=[{package}]", "strategy=shrunk", "data=stripes", "trainer=tiny"]
    path = Path(transfer("run", "-q", *words).out.strip())
    write_pictures(tmp_path / "new", side=8)
    told = transfer("predict", "last", "./new")
    assert (told.code, told.out) == (2, "")
    assert told.errors == [
        f"error: plugins={package}: named by the stored configuration only",
        f"  do: say plugins=[{package}] to run it",
    ]
    record = json.loads((path / "results.json").read_text())
    (path / "results.json").write_text(json.dumps(record | {"status": "interrupted"}))
    told = transfer("resume", "last")
    assert (told.code, told.out) == (2, "")
    assert told.errors == [
        f"error: plugins=[{package}]: is named by the record of the run",
        f"  do: name it, too: transfer resume {record['id']} 'plugins=[{package}]'",
    ]
    assert transfer("resume", "last", words[0]).code == 0


@pytest.mark.parametrize("words", [["plugins=[not_there]"], ["plugins=[../x]"], ["plugins=[os.path]"]])
def test_a_missing_package(words: list[str], transfer: Transfer) -> None:
    told = transfer("run", "data=digits", *words)
    name = words[0][9:-1]
    assert told.code == 2
    assert told.errors == [
        f"error: plugins={name}: no such package is installed",
        "  do: pip install it, or correct the name",
    ]


# classes by name
def test_a_class_is_found_by_its_file(package: str) -> None:
    assert load_class("methods", "linear_probe").__name__ == "LinearProbe" == camel("linear_probe")
    assert load_class("methods", "halve", [package]).__module__ == f"{package}.methods.halve"
    assert load_class("methods", "dann", [package]).__module__ == "transfer_cli.methods.dann"


@pytest.mark.parametrize("stem", ["nope", "../methods/coral", "coral.x", "", "a b", "__init__", "os", "methods"])
def test_names_that_are_not_classes_of_the_folder_are_refused(stem: str, package: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_class("methods", stem, [package])
    assert error.value.faults[0].line() == f"methods/{stem}.py: no such file or class, here or in a plugin"


def test_a_file_that_lies_in_the_package_itself(package: str, tmp_path: Path) -> None:
    write(tmp_path / "site" / package, {"deep_coral.py": "class DeepCoral: ...\n"})
    assert load_class("methods", "deep_coral", [package]).__module__ == f"{package}.deep_coral"


def test_a_failing_import_in_a_users_file_is_not_reported_as_a_missing_file(package: str, tmp_path: Path) -> None:
    write(tmp_path / "site" / package, {"methods/lacking.py": "import not_installed_anywhere\n"})
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        load_class("methods", "lacking", [package])


# folders of YAML files
STRATEGY = {"strategy/quick.yaml": """
    # @package _global_
    # Scratch, three steps.   transfer run strategy=quick data=digits
    defaults:
      - override /method@pretrain: none
      - override /method@align: none
      - override /method@fine_tune: last_layer
    trainer: {steps: 3, batch: 16}
    """, "method/last_layer.yaml": """
    # Only the head learns.   transfer run fine_tune=last_layer
    method: supervised
    blocks: 0
    """}  # fmt: skip


@pytest.mark.parametrize(("folder", "options"), [("conf", []), ("mine", ["--config-dir", "mine"])])
def test_yaml_files_of_the_user(folder: str, options: list[str], transfer: Transfer, tmp_path: Path) -> None:
    write(tmp_path / folder, STRATEGY)
    run = results(transfer("run", "-q", "strategy=quick", "data=digits", "model=mlp", *options))
    assert (run["choices"]["strategy"], run["choices"]["fine_tune"]) == ("quick", "last_layer")
    assert run["config"]["trainer"]["steps"] == 3
    assert run["cost"]["trained"] == 128 * 5 + 5
    assert "quick" in transfer("list", "strategies", *options).out
    assert transfer("show", "strategy=quick", "data=digits", "model=mlp", *options).out.count("cached") == 2


def test_settings_without_their_folder_are_unknown(transfer: Transfer, tmp_path: Path) -> None:
    write(tmp_path / "mine", STRATEGY)
    told = transfer("run", "strategy=quick", "data=digits")
    assert (told.code, told.errors) == (2, ["error: strategy=quick: unknown; see transfer list strategy"])


def test_an_edited_forward_pass_gives_other_features(package: str, transfer: Transfer, tmp_path: Path) -> None:
    """Tensors and settings do not change: only the hash of the code shows that cached features are outdated."""
    words = [f"plugins=[{package}]", "data=stripes", "source=none", "pretrain=none", "strategy=knn", "-q"]
    before = results(transfer("run", *words))["headline"]["value"]
    model = tmp_path / "site" / package / "models" / "flat.py"
    # of another size: Python takes a file of the same size and second for the one that it compiled
    model.write_text(model.read_text().replace(".relu()", ".mul(0.0)"))
    for module in [module for module in sys.modules if module.startswith(f"{package}.models")]:
        del sys.modules[module]
    importlib.invalidate_caches()
    after = results(transfer("run", *words))["headline"]["value"]
    assert before > 0.7
    assert after < 0.5


def test_a_setting_that_changes_pixels_only_is_another_data_set(
    package: str, transfer: Transfer, tmp_path: Path
) -> None:
    family = tmp_path / "site" / package / "data" / "readers" / "stripes.py"
    text = family.read_text().replace("*, rows: int = 60", "*, rows: int = 60, noise: int = 60")
    text = text.replace("self.rows = rows", "self.rows, self.noise = rows, noise").replace(
        "_draw(labels))", "_draw(labels, self.noise))"
    )
    family.write_text(text.replace("def _draw(labels)", "def _draw(labels, noise)").replace("(0, 60,", "(0, noise,"))
    words = [f"plugins=[{package}]", "data=stripes", "strategy=scratch", "trainer=tiny", "-q"]
    runs = [results(transfer("run", *words, f"data.noise={noise}")) for noise in (20, 200)]
    assert runs[0]["fingerprints"]["target"] != runs[1]["fingerprints"]["target"]
    assert not any(stage["cached"] for stage in runs[1]["stages"])
