"""Words become one checked configuration: what is chosen, what is filled, what is refused."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transfer_cli.config import yamls
from transfer_cli.config.compose import Config, conf_dir, describe_option, load, load_all, load_stored, options
from transfer_cli.config.folders import GROUPS
from transfer_cli.config.merge import overlay, parse_value
from transfer_cli.errors import ConfigError, TransferError

Write = Callable[[str, str], Path]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing may depend on the folder the program is called from."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    return tmp_path / "mine"


@pytest.fixture
def write(mine: Path) -> Write:
    """write("strategy/x", text): a YAML file of the user's."""

    def write(name: str, text: str) -> Path:
        path = mine / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def error(*words: str, **more: Any) -> TransferError:
    with pytest.raises(TransferError) as caught:
        load_all(words, **more)
    return caught.value


def lines(*words: str, **more: Any) -> list[str]:
    return [fault.line() for fault in error(*words, **more).faults]


def methods(config: Config) -> dict[str, str]:
    return {stage: config.values[stage]["method"] for stage in config.values["stages"] if stage != "evaluate"}


# what is chosen
def test_without_words_the_defaults_stand() -> None:
    config = load([])
    assert methods(config) == {"pretrain": "supervised", "align": "none", "fine_tune": "supervised"}
    wanted = {"strategy": "fine_tune", "data": "digits", "source": "base", "model": "lenet", "predictor": "none"}
    assert config.choices.items() >= wanted.items()
    assert (config.changed, config.words) == ({}, ())
    assert config.values["pretrain"]["seed"] == 0
    assert config.values["pretrain"]["rule"] == "source_val"
    assert config.values["fine_tune"]["seed"] is None
    assert config.values["fine_tune"]["rule"] == "final"


@pytest.mark.parametrize("name", options("strategy"))
def test_every_strategy_composes(name: str) -> None:
    config = load([f"strategy={name}", "source=mnist", "data=usps"])
    assert config.values["strategy"] == name
    assert config.values["source"]["name"] == "mnist"


@pytest.mark.parametrize("name", options("experiment"))
def test_every_experiment_composes(name: str) -> None:
    assert load([f"experiment={name}"]).choices["experiment"] == name


def test_every_file_of_ours_is_read_as_strictly_as_a_users() -> None:
    files = sorted(conf_dir().rglob("*.yaml"))
    assert {path.parent.name for path in files} >= {*GROUPS, conf_dir().name}
    for path in files:
        assert yamls.read(path), path


def test_a_sentence_of_short_words() -> None:
    config = load(["strategy=few_shot", "align=adabn", "predictor=knn", "source=mnist", "data=usps", "data.shots=10"])
    assert methods(config) == {"pretrain": "supervised", "align": "adabn", "fine_tune": "none"}
    assert config.values["evaluate"]["predictor"]["predictor"] == "knn"
    assert config.values["evaluate"]["way"] == 5
    assert config.changed == {"data.shots": (None, 10)}


def test_a_mapping_is_merged_not_replaced() -> None:
    config = load(["strategy=few_shot", "evaluate={way: 3}", "trainer={lr: 1}", "fine_tune={seed: same}"])
    assert config.values["evaluate"]["queries"] == 15
    assert config.values["evaluate"]["predictor"]["predictor"] == "prototypes"
    assert config.changed == {"evaluate.way": (5, 3), "trainer.lr": (0.05, 1.0), "fine_tune.seed": (None, "same")}


def test_the_model_is_the_datas_unless_said() -> None:
    assert load(["data=cifar10"]).choices["model"] == "resnet20"
    assert load(["data=cifar10", "model=conv4"]).choices["model"] == "conv4"
    named = load(["data=cifar10", "model=squeezenet1_0", "weights=none"])
    assert named.choices["model"] == "squeezenet1_0"
    assert named.values["model"].items() >= {"family": "torchvision", "name": "squeezenet1_0"}.items()


@pytest.mark.parametrize(
    ("words", "source", "pretrain"),
    [
        (["data=usps"], "base", "supervised"),
        (["data=usps", "strategy=scratch"], "base", "none"),
        (["data=usps", "source=mnist"], "mnist", "supervised"),
        (["data=usps", "weights=imagenet"], "none", "given"),
        (["data=usps", "weights=imagenet", "source=mnist"], "mnist", "given"),
        (["data=usps", "weights=imagenet", "source=mnist", "pretrain=supervised"], "mnist", "supervised"),
        (["data=usps", "pretrain=none"], "base", "none"),
        (["data=usps", "source=none"], "none", "none"),
        (["data=./own", "strategy=scratch"], "none", "none"),
        (["data=./own", "strategy=none"], "none", "none"),
        (["data=./own", "weights=imagenet"], "none", "given"),
        (["data=./own", "source=./own"], "folder", "supervised"),
    ],
)
def test_source_and_pretrain_follow_from_the_other_words(words: list[str], source: str, pretrain: str) -> None:
    Path("own").mkdir()
    values = load(words).values
    node = values["source"]
    assert (node.get("name") or node["family"]) == source
    assert values["pretrain"]["method"] == pretrain


def test_own_pictures_want_something_to_transfer_from() -> None:
    Path("own").mkdir()
    found = error("data=./own")
    assert found.code == 4
    assert found.faults[0].line() == (
        "data=./own: nothing to transfer from; say weights=..., source=..., or strategy=scratch"
    )


def test_scratch_takes_no_weights() -> None:
    assert lines("strategy=scratch", "weights=imagenet") == [
        "weights=imagenet: strategy=scratch starts without weights"
    ]


@pytest.mark.parametrize("name", ["my,pics", "a=b", "Bilder é (1)", "x # y", "~"])
def test_paths_are_literal(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "x.csv").write_text("")
    folder, table = f"{tmp_path / name}", f"{tmp_path / name / 'x.csv'}"
    (config,) = load_all([f"data={folder}", f"source={table}", f"weights={folder}/w.pt"])
    assert config.values["data"].items() >= {"family": "folder", "path": folder}.items()
    assert config.values["source"].items() >= {"family": "csv", "path": table}.items()
    assert config.values["weights"] == f"{folder}/w.pt"
    assert config.values["model"]["name"] == "resnet18"
    assert config.choices["data"] == folder


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pics").mkdir()
    values = load(["data=~/pics", "weights=~/w.pt"]).values
    assert (values["data"]["path"], values["weights"]) == (str(tmp_path / "pics"), str(tmp_path / "w.pt"))


def test_data_may_be_a_file_of_settings(write: Write) -> None:
    path = write("pictures", "# mine\nfamily: folder\npath: ./own\nval_fraction: 0.3\n")
    config = load([f"data={path}", "strategy=scratch"])  # a path in a file is relative to the file
    own = str(Path(path).parent / "own")
    assert config.values["data"].items() >= {"family": "folder", "path": own, "val_fraction": 0.3}.items()


def test_a_path_that_is_not_there_is_a_fault_of_the_data() -> None:
    found = error("data=./nope")
    assert (found.code, [fault.line() for fault in found.faults]) == (4, ["data=./nope: no such folder or file"])
    assert error("data=./nope", "trainer.lr=-1").code == 2  # a command to be mended first


def test_chains_of_stages() -> None:
    words = ["stages=[pretrain,align,align_2,evaluate]", "align=coral", "align_2=coral", "align_2.weight=0.3"]
    values = load([*words, "source=mnist", "data=usps"]).values
    assert (values["align"]["weight"], values["align_2"]["weight"]) == (0.5, 0.3)
    assert values["align_2"].items() >= {"seed": None, "rule": "final", "trainer": {}, "feeds": {}}.items()
    assert lines(words[0], "align=coral")[0].endswith("align_2 has no method; say align_2=METHOD")


def test_a_strategy_of_ones_own_may_chain_stages(write: Write, mine: Path) -> None:
    write(
        "strategy/twice",
        "# @package _global_\n# Two alignments.\ndefaults:\n  - /method@align_2: adabn\n"
        "  - override /method@align: coral\nstages: [pretrain, align, align_2, evaluate]\n",
    )
    words = ["strategy=twice", "source=mnist", "data=usps"]
    assert methods(load(words, config_dirs=[mine]))["align_2"] == "adabn"
    assert methods(load([*words, "align_2=dann"], config_dirs=[mine]))["align_2"] == "dann"


# values
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3), ("1e-3", 0.001), ("true", True), ("null", None), ("no", "no"), ("[a, 1]", ["a", 1]),
        ("{a: 1}", {"a": 1}), ("'a b'", "a b"), ("a b, c#d", "a b, c#d"), ("[a,", "[a,"), ("é=&", "é=&"), ("", ""),
    ],
)  # fmt: skip
def test_values_of_words(text: str, value: Any) -> None:
    assert parse_value("key", text) == value


def test_overlay_merges_mappings_and_replaces_the_rest() -> None:
    values: dict[str, Any] = {"a": {"b": {"c": 1}, "d": [1, 2]}}
    overlay(values, "a", {"b": {"e": 2}, "d": [3]})
    overlay(values, "x.y", 1)
    assert values == {"a": {"b": {"c": 1, "e": 2}, "d": [3]}, "x": {"y": 1}}


def test_a_setting_may_refer_to_another(write: Write, mine: Path) -> None:
    write(
        "experiment/x",
        "# @package _global_\n# x\ntrainer: {steps: 7}\nfine_tune: {trainer: {steps: '${trainer.steps}'}}\n",
    )
    values = load(["experiment=x", "trainer.steps=9"], config_dirs=[mine]).values
    assert values["fine_tune"]["trainer"] == {"steps": 9}


@pytest.mark.parametrize(
    "text", ["${oc.env:HOME}", "${trainer}", "${nope}", "${seed}x", "${weights}", "${oc.decode:1}"]
)
def test_nothing_is_computed_or_read_from_the_environment(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/secret")
    (line,) = lines(f"weights={text}")
    assert line.startswith(f"weights={text}: only ${{a.b}} is allowed")
    assert "/secret" not in line


# faults
def test_all_faults_of_a_command_at_once() -> None:
    found = lines(
        "strategy=few_shto", "target=cifar10", "trainer.lr=-1", "trainer.steps=many", "seed=1", "seed=2", "usps"
    )
    assert found == [
        "usps: a word is key=value; all: transfer run --help",
        "seed: given 2 times; say seed=1,2 -m",
        "target=cifar10: the word is data=cifar10",
        "strategy=few_shto: unknown; nearest: few_shot; see transfer list strategy",
        "trainer.steps=many: whole number >= 1, now 1000",
        "trainer.lr=-1: number >= 0, now 0.05",
    ]


def test_a_wrong_choice_brings_no_faults_after_it() -> None:
    """What belongs to the method that was meant is not called unknown."""
    assert lines("align=corral", "align.weight=2") == [
        "align=corral: unknown; nearest: coral; see transfer list method"
    ]
    assert len(lines("strategy=corral", "align.weight=2")) == 1
    assert len(lines("data=uspss", "model.dropout=0.1", "data.name=usps")) == 1


def test_misspelt_key() -> None:
    found = error("strategy=coral", "source=mnist", "data=usps", "align.wieght=0.1", "align.weight=-1")
    assert found.code == 2
    assert [fault.line() for fault in found.faults] == [
        "align.weight=-1: number 0 to 1, now 0.5",
        "align.wieght: discrepancy has no such key; nearest: weight (number 0 to 1, now 0.5)",
    ]


def test_faults_of_one_run_of_a_sweep_are_found_before_it_starts() -> None:
    assert lines("seed=0,1", "trainer.lr=0.1,-1", multirun=True) == ["trainer.lr=-1: number >= 0, now 0.05"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["fine_tune=fine_tune"], "fine_tune=fine_tune: unknown; nearest: full; see transfer list method"),
        (
            ["fine_tune=coral", "source=mnist", "data=usps"],
            "fine_tune=discrepancy: aligns source and target; say align=discrepancy",
        ),
        (["data=base"], "data=base: is allowed for a source only; say source=base"),
        (["model=squezenet1_0"], "model=squezenet1_0: unknown; nearest: squeezenet1_0; see transfer list model"),
        (["strategy=../data/usps"], "strategy=../data/usps: unknown; see transfer list strategy"),
        (["seed=range(5)"], "seed=range(5): several values are written a,b or 0..4, with -m"),
        (["seed=010"], "seed=010: whole number >= 0, now 0"),
        (["trainer.lr=nan"], "trainer.lr=nan: no finite number"),
        (
            ["data._target_=os.system"],
            "data._target_: not allowed: settings name files (method: dann), never code to run",
        ),
        (["data=" + "a" * 300], "data=" + "a" * 300 + ": unknown; see transfer list data"),
        (["data=./" + "a" * 300], "data=./" + "a" * 300 + ": no such folder or file"),
        (["data=x\0"], "data=x\0: unknown; see transfer list data"),
        (["trainer.lr.x=1"], "trainer.lr={x: 1}: number >= 0, now 0.05"),
        (["strategy=" + "[" * 4000], "strategy=" + "[" * 4000 + ": unknown; see transfer list strategy"),
        (["expect=" + "[" * 4000], "expect=" + "[" * 4000 + ": settings as {key: value}, now {}"),
        (["hydra.run.dir=x"], "hydra.run.dir: no such word; all: transfer run --help"),
        (["data=folder", "strategy=scratch"], "data.path: has no value"),
        (["plugins=[not_there]"], "plugins=not_there: no such package is installed"),
    ],
)
def test_each_fault_has_its_line(words: list[str], line: str) -> None:
    assert lines(*words) == [line]


# experiments
EXPERIMENT = """\
# @package _global_
# A recipe.
defaults:
  - override /data: usps
  - override /data@source: mnist
  - override /strategy: coral
seed: 7
weights: none
align: {weight: 0.7, trainer: {steps: 5}}
expect: {metric: test/accuracy, rule: final, value: 0.9, tolerance: 0.02, n: 5, source: a paper}
"""


def test_an_experiment_sets_values_and_words_win(write: Write, mine: Path) -> None:
    write("experiment/recipe", EXPERIMENT)
    config = load(["experiment=recipe", "data.shots=3"], config_dirs=[mine])
    assert config.choices.items() >= {"strategy": "coral", "source": "mnist", "data": "usps", "model": "lenet"}.items()
    assert config.values["seed"] == 7
    assert config.values["align"]["weight"] == 0.7
    assert config.values["expect"] == {
        "metric": "test/accuracy", "rule": "final", "value": 0.9, "tolerance": 0.02, "n": 5, "source": "a paper",
        "words": [],
    }  # fmt: skip
    assert load(["experiment=recipe", "seed=1", "data=mnist"], config_dirs=[mine]).values["seed"] == 1


@pytest.mark.parametrize("word", ["align=adabn", "strategy=adabn"])
def test_a_value_for_a_replaced_method_names_both(write: Write, mine: Path, word: str) -> None:
    write("experiment/recipe", EXPERIMENT)
    found = lines("experiment=recipe", word, config_dirs=[mine])
    assert found == ["align.weight: experiment=recipe sets it for coral, here align is adabn"]


def test_a_key_that_a_file_misspells_names_the_file(write: Write, mine: Path) -> None:
    write("experiment/recipe", EXPERIMENT.replace("{weight", "{wait"))
    path = write("trainer/mine", "# mine\nsteps: 3\nlearning_rate: 1\n")
    assert lines("experiment=recipe", "trainer=mine", config_dirs=[mine]) == [
        "align.wait: discrepancy has no such key; nearest: weight (number 0 to 1, now 0.5); in experiment=recipe",
        f"trainer.learning_rate: trainer has no such key; nearest: lr (number >= 0, now 0.05); in {path}",
    ]


# users' files
def test_users_files_add_options(write: Write, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("trainer/mine", "# Quick.\nsteps: 3\n")
    assert load(["trainer=mine"], config_dirs=[mine]).values["trainer"]["steps"] == 3
    assert describe_option("trainer", "mine", [mine]) == "Quick."
    assert lines("trainer=mine") == ["trainer=mine: unknown; nearest: tiny; see transfer list trainer"]
    mine.rename(Path("conf"))  # ./conf needs no option
    assert load(["trainer=mine"]).values["trainer"]["steps"] == 3
    monkeypatch.chdir(conf_dir().parent)  # our own ./conf is no user's
    assert load([]).search == ()


def test_folders_with_odd_names(write: Write, mine: Path) -> None:
    write("trainer/mine", "# Quick.\nsteps: 3\n")
    odd = mine.rename(mine.with_name("a,b = 'é' [x]"))
    assert load(["trainer=mine"], config_dirs=[odd]).values["trainer"]["steps"] == 3


def test_a_file_may_not_hide_ours(write: Write, mine: Path) -> None:
    path = write("strategy/coral", "# mine\n")
    found = error(config_dirs=[mine])
    assert found.code == 2
    assert [fault.line() for fault in found.faults] == [f"{path}: has the name of the built-in one"]


def test_an_absent_folder_is_said(mine: Path) -> None:
    assert lines(config_dirs=[mine]) == [f"--config-dir={mine}: no such folder"]


BOMB = "a: &a [x, x]\n" + "".join(f"b{i}: &b{i} [*a, *a]\n" for i in range(9))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("steps: 010\n", ":1: 010 is read as 8: write"),
        ("steps: 12:30\n", ":1: 12:30 is read as 750: write"),
        ("steps: 1_000\n", ":1: 1_000 is read as 1000: write"),
        ("# x\noptimizer: no\n", ":2: no is read as False: write"),
        ("on: 1\n", ":1: on is read as True: write"),
        ("steps: 1\nsteps: 2\n", ":2: key steps is given twice"),
        (BOMB, ":1: anchors and aliases (& and *) are not allowed"),
        ("steps: !!python/object/apply:os.system [ls]\n", ":1: tags (tag:yaml.org,2002:python/object/apply:os.system)"),
        ("steps: " + "[" * 40 + "]" * 40 + "\n", ":1: nested deeper than 32"),
        ("steps: " + "[" * 20000, ":1: nested deeper than 32"),
        ("steps: [1\n", ":2: did not find expected"),
        ("- 1\n", ": must consist of key: value lines"),
        ("x: " + "a" * 70_000, ": 70,003 bytes; allowed 64,000"),
        ("steps: {a: {_target_: os.system}}\n", ": steps.a._target_: not allowed"),
        ("hydra: {callbacks: {x: {y: 1}}}\n", ": may not set hydra"),
        ("# @package hydra.callbacks\nx: 1\n", ": may not set hydra"),
    ],
)
def test_hostile_or_careless_yaml_is_refused_at_once(write: Write, mine: Path, text: str, problem: str) -> None:
    path = write("trainer/bad", text)
    started = time.perf_counter()
    (line,) = lines("trainer=bad", config_dirs=[mine])
    assert line.startswith(f"{path}{problem}"), line
    assert time.perf_counter() - started < 2


def test_files_named_in_defaults_are_read_as_strictly(write: Write, mine: Path) -> None:
    write("trainer/inner", "# x\nsteps: {_target_: os.system}\n")
    write("trainer/outer", "# x\ndefaults: [inner, _self_]\nlr: 1\n")
    (line,) = lines("trainer=outer", config_dirs=[mine])
    assert "inner.yaml: steps._target_: not allowed" in line
    write("trainer/up", "# x\ndefaults: [../data/usps]\n")
    assert lines("trainer=up", config_dirs=[mine]) == ["trainer=../data/usps: unknown; see transfer list trainer"]


def test_plugins_bring_files_and_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site" / "my_plugin"
    (package / "methods").mkdir(parents=True)
    (package / "conf" / "method").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (package / "methods" / "mine.py").write_text("class Mine:\n    def __init__(self, given, *, depth: int = 3): ...\n")
    (package / "conf" / "method" / "mine.yaml").write_text("# Mine.\nmethod: mine\ndepth: 3\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "site")])
    config = load(["plugins=[my_plugin]", "fine_tune=mine", "fine_tune.depth=4"])
    assert config.values["fine_tune"].items() >= {"method": "mine", "depth": 4}.items()
    assert config.values["plugins"] == ["my_plugin"]
    assert "fine_tune.depth=x: whole number, now 3" in lines(
        "plugins=[my_plugin]", "fine_tune=mine", "fine_tune.depth=x"
    )
    with pytest.raises(ConfigError, match="named by the stored configuration only"):
        load_stored(config.values)
    assert load_stored(config.values, ["my_plugin"]) == config.values


# stored configurations
def test_a_stored_configuration_is_checked_like_a_new_one() -> None:
    values = load(["strategy=few_shot", "data=cifar10"]).values
    assert load_stored(values) == values
    with pytest.raises(ConfigError, match="_target_: not allowed"):
        load_stored(values | {"data": {"_target_": "os.system"}})
    with pytest.raises(ConfigError, match=r"trainer\.lr=-1: number >= 0; in the stored configuration"):
        load_stored(values | {"trainer": values["trainer"] | {"lr": -1}})


def test_composing_leaves_no_trace_and_imports_nothing_heavy() -> None:
    """Twice the same words, the same values: nothing of the first is shared with the second."""
    first = load(["data=usps"])
    first.values["trainer"]["steps"] = -1
    assert load(["data=usps"]).values["trainer"]["steps"] == 1000
