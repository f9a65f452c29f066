"""Settings read from signatures, and values checked against them."""

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from transfer_cli.config.check import Checker
from transfer_cli.config.classes import STREAM
from transfer_cli.config.folders import find_option, options
from transfer_cli.config.nodes import Loader, Model, Root, Stage
from transfer_cli.config.signatures import PACKAGE, Param, signature, signature_of, stems
from transfer_cli.config.values import fit, leaves, look, plain, problems
from transfer_cli.config.yamls import read
from transfer_cli.engine.settings import Evaluate, Runtime, Trainer
from transfer_cli.errors import ConfigError

SOURCE = '''
from typing import Annotated, ClassVar, Literal
from torch import nn
from transfer_cli.contracts import Method, Range, Stream
from transfer_cli.models.cifar_resnet import Name

Distance = Literal["euclidean", "cosine"]
LIMIT = object()

class Parent(Method):
    """Not this one."""
    streams = {"source": Stream(), "target": Stream(False, views=("weak", "strong"))}
    coupled = True

class Toy(Parent):
    """First line.

    More."""

    steps: ClassVar[bool] = False
    players_wanted = ("net", "discriminator")
    weird = LIMIT

    def __init__(self, given, *, count: Annotated[int, Range(1, 9)],
                 weight: Annotated[float, Range(0, above=True)] = 1.0,
                 distance: Distance = "euclidean", name: Name = "resnet20", flag: bool = False,
                 threads: Annotated[int, Range(1)] | Literal["auto"] = "auto", ema: "float | None" = None,
                 widths: tuple[int, ...] = (3, 4), names: list[str | int] | None = None, free: dict = {}) -> None: ...

class Child(Toy):
    pass
'''


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    path = tmp_path / "toy.py"
    path.write_text(SOURCE)
    return path


def test_a_signature_says_all_without_an_import(toy: Path) -> None:
    found = signature_of(toy, "Toy")
    params = {name: (p.kind, p.default, p.required, p.allowed()) for name, p in found.params.items()}
    assert params == {
        "count": ("int", None, True, "whole number 1 to 9"),
        "weight": ("float", 1.0, False, "number > 0"),
        "distance": ("literal", "euclidean", False, "one of euclidean, cosine"),
        "name": ("literal", "resnet20", False, "one of resnet20, resnet32, resnet44, resnet56, resnet110"),
        "flag": ("bool", False, False, "true or false"),
        "threads": ("int", "auto", False, "whole number >= 1 or auto"),
        "ema": ("float", None, False, "number or null"),
        "widths": ("list", [3, 4], False, "list of whole numbers"),
        "names": ("list", None, False, "list or null"),
        "free": ("dict", {}, False, "settings as {key: value}"),
    }
    assert (found.doc, found.steps, found.coupled) == ("First line.", False, True)
    assert found.flags == {"players_wanted": ["net", "discriminator"], "taught": False, "heads": True}


def test_streams_and_settings_are_inherited(toy: Path) -> None:
    child = signature_of(toy, "Child")
    assert child.params == signature_of(toy, "Toy").params
    assert child.streams == {
        "source": STREAM,
        "target": {**STREAM, "labelled": False, "views": ["weak", "strong"]},
    }


@pytest.mark.parametrize("settings", [Trainer, Evaluate, Runtime, Root, Stage, Loader])
def test_what_is_read_agrees_with_python(settings: Any) -> None:
    """The same class, once imported and once parsed: names, order and defaults."""
    path = PACKAGE.parent.joinpath(*settings.__module__.split(".")).with_suffix(".py")
    read = signature_of(path, settings.__name__).params
    assert list(read) == [field.name for field in fields(settings)]
    built = settings(**{p.name: [] for p in read.values() if p.required})
    assert {name: p.default for name, p in read.items() if not p.required} == {
        name: getattr(built, name) for name, p in read.items() if not p.required
    }


FILE_KEY = {"method": "method", "data": "family", "model": "family", "predictor": "predictor", "task": "task"}
NO_FILE = {"none", "given", "base"}


def test_every_yaml_names_a_file_that_can_be_read_and_sets_only_its_keys() -> None:
    view = list(signature_of(PACKAGE / "data" / "view.py", "View").params)
    beside = {"data": view, "model": [f.name for f in fields(Model)], "method": ["feeds", "trainer", "marks"]}
    seen = set()
    for group, key in FILE_KEY.items():
        for name in options(group):
            path = find_option(group, name)
            assert path is not None
            node = read(path)
            seen.add(node[key])
            own = [] if node[key] in NO_FILE else list(signature(group, node[key]).params)
            assert set(node) <= {key, *own, *beside.get(group, [])}, path
    assert seen >= NO_FILE | {"supervised", "prototypes", "cifar_resnet", "torchvision", "digits", "folder", "csv"}


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("def __init__(self, *, x: Foo = 1): ...", "bad.py:2: x: annotation Foo is not one of"),
        ("def __init__(self, *, x=1): ...", "bad.py:2: Bad.__init__: x has no type"),
        ("def __init__(self, **kwargs): ...", "bad.py:2: Bad.__init__: **kwargs hides the settings"),
        ("def __init__(self, *, x: int = len('a')): ...", "bad.py:2: x: malformed node"),
    ],
)
def test_a_signature_that_hides_something_is_refused(tmp_path: Path, source: str, line: str) -> None:
    (tmp_path / "bad.py").write_text(f"class Bad:\n    {source}\n")
    with pytest.raises(ConfigError) as caught:
        signature_of(tmp_path / "bad.py", "Bad")
    assert caught.value.faults[0].line().startswith(line)


@pytest.mark.parametrize("name", ["../models/lenet", "lenet.py", "", "/etc/passwd", "supervize"])
def test_a_name_cannot_leave_its_folder(name: str) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        signature("method", name)


def test_the_nearest_file_is_named() -> None:
    with pytest.raises(ConfigError, match="nearest: supervised"):
        signature("method", "supervize")


def test_plugins_must_be_packages() -> None:
    with pytest.raises(ConfigError, match="plugins=not_there: no such package is installed"):
        signature("method", "toy", ["not_there"])


def param(kind: str, **more: Any) -> Param:
    return Param("x", kind, **more)


@pytest.mark.parametrize(
    ("setting", "good", "bad"),
    [
        (param("int"), [0, -3], [1.5, 2.0, True, "1", None, [1]]),
        (param("float"), [0.5, 2], ["0.5", True, None, math.nan, math.inf]),
        (param("bool"), [True, False], [0, 1, "no", "true", None]),
        (param("str"), ["", "a"], [1, True, None]),
        (param("float", low=0, high=1), [0, 1, 0.5], [-0.1, 1.1]),
        (param("float", low=0, above=True), [0.1], [0]),
        (param("literal", choices=("a", "b")), ["a"], ["c", 1, None]),
        (param("literal", choices=(1, 3)), [1, 3], [2, True, "1"]),
        (param("int", low=1, choices=("auto",)), [1, "auto"], [0, "all"]),
        (param("int", optional=True), [None, 2], ["null"]),
        (param("list", item=param("int", low=1)), [[], [1, 2]], [[0], ["a"], 1, "ab"]),
        (param("list"), [["a", 1]], [[True], [{}], "ab"]),
        (param("dict"), [{}, {"a": 1}], [[], "a", None]),
    ],
)
def test_what_fits_and_what_does_not(setting: Param, good: list[Any], bad: list[Any]) -> None:
    for value in good:
        assert fit(setting, value) == value
    for value in bad:
        with pytest.raises(ValueError):  # noqa: PT011  (the message is made by Checker)
            fit(setting, value)


def test_numbers_have_one_type() -> None:
    """The key of a stage must not depend on whether 1 or 1.0 was typed."""
    assert type(fit(param("float"), 1)) is float
    assert [type(v) for v in fit(param("list", item=param("float")), [1, 2])] == [float, float]


def test_forbidden_keys_are_found_at_any_depth() -> None:
    values = {"a": {"b": {"c": {"_target_": "os.system"}}}, "d": [{"_partial_": True}], "e": math.nan, "f": "???"}
    assert [fault.line() for fault in problems(values)] == [
        "a.b.c._target_: not allowed: settings name files (method: dann), never code to run",
        "d._partial_: not allowed: settings name files (method: dann), never code to run",
        "e=nan: no finite number",
        "f: has no value",
    ]
    assert [fault.key for fault in problems({True: 1})] == ["True"]


def test_keys_and_spelling() -> None:
    values = {"a": {"b": [1, 2], "c": {}}, "d": None}
    assert dict(leaves(values)) == {"a.b": [1, 2], "a.c": {}, "d": None}
    assert look(values, "a.b") == [1, 2]
    assert look(values, "a.x.y") is None
    assert plain({"a": [1.0, None, True], "b": "x"}) == "{a: [1, null, true], b: x}"


INPUT = {"channels": 1, "size": 28, "crop": 28, "mean": [0.5], "std": [0.5]}
CONFIG: dict[str, Any] = {
    "stages": ["pretrain", "evaluate"],
    "strategy": "none",
    "data": {"family": "digits"},
    "source": {"family": "base"},
    "model": {
        "family": "lenet",
        "input": INPUT,
    },
    "pretrain": {"method": "supervised"},
    "evaluate": {"predictor": {"predictor": "none"}},
    "trainer": {},
    "runtime": {},
}


def checked(typed: dict[str, str] | None = None, **nodes: Any) -> tuple[dict[str, Any], list[str]]:
    """The configuration with some nodes replaced, and the error lines."""
    checker = Checker(typed or {}, CONFIG, lambda key: "x.yaml")
    return checker.config(CONFIG | nodes), [fault.line() for fault in checker.faults]


def test_defaults_are_filled_and_a_second_check_changes_nothing() -> None:
    values, faults = checked()
    assert faults == []
    assert values["trainer"] == {f.name: f.default for f in fields(Trainer)}
    reserved = {"seed": None, "rule": "final", "trainer": {}, "feeds": {}, "marks": None}
    assert values["pretrain"].items() >= {"method": "supervised", "mixup": 0.0, **reserved}.items()
    assert values["source"]["family"] == "base"
    assert values["model"]["precision"] == Model(input={}).precision
    again = Checker({}, {}, lambda key: None)
    assert (again.config(values), again.faults) == (values, [])


def test_empty_slots_have_only_reserved_keys() -> None:
    values, faults = checked(pretrain={"method": "given", "mixup": 1.0})
    reserved = {"seed": None, "rule": "final", "trainer": {}, "feeds": {}, "marks": None}
    assert values["pretrain"] == {"method": "given", **reserved}
    assert faults == ["pretrain.mixup: given has no such key; keys: seed, rule, trainer, feeds, marks; in x.yaml"]


@pytest.mark.parametrize(
    ("node", "value", "line"),
    [
        (
            "trainer",
            {"learning_rate": 1},
            "trainer.learning_rate: trainer has no such key; nearest: lr (number >= 0, now 0.05)",
        ),
        ("trainer", {"lr": "fast"}, "trainer.lr=fast: number >= 0"),
        ("trainer", {"optimizer": "sdg"}, "trainer.optimizer=sdg: one of sgd, adam, adamw; nearest: sgd"),
        ("data", {"family": "digits", "shots": 0}, "data.shots=0: whole number >= 1 or null"),
        ("data", {"family": "digitz"}, "data.family=digitz: no such data/readers file; nearest: digits"),
        ("data", {"family": "folder"}, "data.path: has no value; allowed: text"),
        ("source", {"family": "none", "shots": 1}, "source.shots: source=none has no such key"),
        ("source", {"family": "base", "split_seed": "x"}, "source.split_seed=x: whole number"),
        ("model", {"family": "lenet", "input": 3}, "model.input=3: settings as {key: value}"),
        ("model", {"family": "lenet", "input": {}}, "model.input.channels: has no value; allowed: whole number >= 1"),
        (
            "pretrain",
            {"method": "supervised", "seed": "equal"},
            "pretrain.seed=equal: whole number >= 0 or same or null",
        ),
        ("pretrain", {"method": "supervised", "trainer": {"lr": -1}}, "pretrain.trainer.lr=-1: number >= 0"),
        (
            "pretrain",
            {"method": "supervised", "feeds": {"sauce": {}}},
            "pretrain.feeds.sauce: supervised (a stream) has no",
        ),
        (
            "pretrain",
            {"method": "supervised", "feeds": {"target": {"batch": 0}}},
            "pretrain.feeds.target.batch=0: whole",
        ),
        ("evaluate", {"predictor": {"predictor": "knn", "k": 0}}, "evaluate.predictor.k=0: whole number >= 1"),
        ("evaluate", {"predictor": "knn"}, "evaluate.predictor=knn: the word is predictor=knn"),
        ("runtime", {"threads": 0}, "runtime.threads=0: whole number >= 1 or auto"),
        ("stages", ["evaluate", "pretrain"], "stages=[evaluate, pretrain]: must be different names, evaluate last"),
        ("stages", ["align_2", "evaluate"], "stages=[align_2, evaluate]: align_2 has no method; say align_2=METHOD"),
        ("seed", -1, "seed=-1: whole number >= 0"),
        (
            "model",
            {"family": "lenet", "input": INPUT | {"std": [1, 2]}},
            "model.input.std=[1, 2]: needs one number per channel",
        ),
        ("model", {"family": "lenet", "input": INPUT | {"crop": 29}}, "model.input.crop=29: allowed 1 to size, 28"),
        ("colour", "red", "colour: the configuration has no such key"),
        ("fine_tune", {"method": "dann"}, "fine_tune=dann: aligns source and target; say align=dann"),
    ],
)
def test_each_fault_has_its_line(node: str, value: Any, line: str) -> None:
    _, faults = checked(**{node: value})
    assert len([found for found in faults if found.startswith(line)]) == 1, faults


def test_words_are_shown_as_typed_and_with_what_stood_there() -> None:
    before = {"trainer": {"steps": 1000, "lr": 0.05}}
    checker = Checker({"trainer.steps": "1e3x"}, before, lambda key: "x.yaml")
    checker.config(CONFIG | {"trainer": {"steps": "1e3x", "lr": -1}})
    assert [fault.line() for fault in checker.faults] == [
        "trainer.steps=1e3x: whole number >= 1, now 1000",
        "trainer.lr=-1: number >= 0; in x.yaml",
    ]


def test_text_stays_text_where_text_is_wanted() -> None:
    values, faults = checked({"data.path": "0123"}, data={"family": "folder", "path": 123})
    assert (values["data"]["path"], faults) == ("0123", [])


def test_an_input_is_read_like_the_nets_own() -> None:
    """The model part has a class of its own for it; both must want the same keys."""
    said, used = (signature_of(PACKAGE / "kinds" / "pictures.py", name).params for name in ("Input", "InputSpec"))
    assert list(said) == list(used)


@pytest.mark.parametrize("kind", stems("kind"))
def test_a_kind_says_the_keys_of_its_input_once(kind: str) -> None:
    found = signature("kind", kind)
    assert set(found.flags["input"]) == set(signature_of(found.path, "Input").params)
