"""Every strategy YAML end to end, three steps of real digits: the run directory, the numbers, and who reads test."""

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from transfer_cli.cli.main import main
from transfer_cli.config.folders import conf_dir, find_option, options
from transfer_cli.config.signatures import PACKAGE, signature, signature_of
from transfer_cli.config.yamls import read

STRATEGIES = sorted(path.stem for path in (conf_dir() / "strategy").glob("*.yaml"))
METHODS = sorted(path.stem for path in (PACKAGE / "methods").glob("[!_]*.py"))
SMALL = ("data=digits", "trainer=tiny", "runtime=cpu")
ADAPT = (
    "adabn", "adda", "afn", "bsp", "cdan", "coral", "dan", "dann", "jan", "mcc", "mcd", "mdd", "none",
    "shot", "source_only", "mean_teacher", "pseudo_label", "tent",
)  # fmt: skip
SAME_CLASSES = {
    **{name: ["source=digits"] for name in ADAPT},
    "pada": ["source=digits", "data.classes=[2,3,7]"],
    "osbp": ["source=digits", "source.classes=[2,3,7]"],
}
ALIGNED = {
    "adda",
    "afn",
    "bsp",
    "cdan",
    "coral",
    "dan",
    "dann",
    "jan",
    "mcc",
    "mcd",
    "mdd",
    "mean_teacher",
    "pseudo_label",
}
GENERALISE = ("erm", "irm", "groupdro", "mixstyle", "coral_dg")  # learn several domains of a source
FEW = {"few_shot": ["evaluate={way: 3, shots: 2, queries: 4, draws: 20}"]}
FILES = (
    "config.yaml", "overrides.txt", "plan.json", "env.json", "log.txt", "rows.jsonl", "metrics.csv", "results.json",
    "checkpoints", "curves.png", "MODEL_CARD.md",
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder a domain, a folder a class, six pictures in it."""
    root = tmp_path_factory.mktemp("tree") / "digits"
    for number, folder in enumerate(root / domain / name for domain in "abc" for name in ("one", "two")):
        folder.mkdir(parents=True)
        for i in range(6):
            Image.new("L", (16, 16), 40 * number + i).save(folder / f"{i}.png")
    return root


def words(strategy: str, model: str = "conv4", tree: Path | None = None) -> list[str]:
    if strategy in GENERALISE:
        several = [f"data={tree}", "data.domain=c", f"source={tree}", "source.domain=others"]
        return [f"strategy={strategy}", f"model={model}", *several, *SMALL[1:]]
    few = [*SAME_CLASSES.get(strategy, ()), *FEW.get(strategy, ())]
    return [f"strategy={strategy}", f"model={model}", *SMALL, *few]


def run(runs: Path, argv: list[str]) -> Path:
    """The directory that these words filled."""
    before = set(runs.glob("*/*"))
    assert main(["run", *argv, "--runs", str(runs), "-q"]) == 0
    (made,) = {path for path in runs.glob("*/*") if not path.parent.name.startswith(".")} - before
    return made


def results(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "results.json").read_text()))


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from numbers(part)
    elif isinstance(value, int | float):
        yield float(value)


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, f"{path}.{name}")
    else:
        yield path, value


def test_the_list_is_complete() -> None:
    assert options("strategy") == STRATEGIES
    assert set(STRATEGIES) >= {
        "none", "scratch", "fine_tune", "partial", "linear_probe", "knn", "few_shot", "adabn", "coral",
    }  # fmt: skip
    assert set(METHODS) >= {"supervised", "linear_probe", "adabn", "discrepancy"}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_runs_end_to_end(strategy: str, runs: Path, tree: Path) -> None:
    folder = run(runs, words(strategy, tree=tree))
    assert folder.parent.name == f"{strategy}-digits"
    assert [name for name in FILES if not (folder / name).exists()] == []
    assert (folder / "confusion.png").is_file() == (strategy != "few_shot")
    found = results(folder)
    assert (found["status"], found["code"], found["choices"]["strategy"]) == ("done", 0, strategy)
    held = list(numbers({"metrics": found["metrics"], "headline": found["headline"], "cost": found["cost"]}))
    assert len(held) > 10
    assert all(math.isfinite(value) for value in held)
    head = found["headline"]
    assert 0 <= head["value"] <= 1
    assert found["metrics"][head["rule"]]["test/accuracy"] == head["value"]
    aligned = strategy in ALIGNED
    assert bool(found["domains"]) == (folder / "domains.png").is_file() == aligned
    _check_files(folder, found)
    _check_who_reads_test(json.loads((folder / "plan.json").read_text()))


def _check_files(folder: Path, found: dict[str, Any]) -> None:
    """What people and other programs read agrees with results.json."""
    assert yaml.safe_load((folder / "config.yaml").read_text()) == found["config"]
    typed = (folder / "overrides.txt").read_text().split()
    assert typed[:3] == ["transfer", "run", f"strategy={found['choices']['strategy']}"]
    with (folder / "metrics.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    trained = {stage["stage"] for stage in json.loads((folder / "plan.json").read_text()) if _has_steps(stage)}
    assert {row["stage"] for row in rows} == trained
    assert {row["stage"] for row in table} == {*trained, "evaluate"}
    assert all(math.isfinite(float(row["value"])) for row in table)
    log = (folder / "log.txt").read_text()
    for stage in found["stages"]:
        assert f"{stage['name']} {'none' if not stage['key'] else 'cached' if stage['cached'] else 'done'}" in log
    links = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert links
    assert all((folder / "checkpoints" / name).resolve().is_file() for name in links)
    assert (folder / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert found["id"] in (folder / "MODEL_CARD.md").read_text()


def _has_steps(stage: dict[str, Any]) -> bool:
    return bool(stage["key"]) and "trainer" in stage["spec"]


def _check_who_reads_test(stages: list[dict[str, Any]]) -> None:
    """A training stage's spec speaks of no test rows anywhere; evaluate reads them, and nothing trains after it."""
    assert [stage["stage"] for stage in stages][-1] == "evaluate"
    for stage in stages[:-1]:
        parts = [value for path, value in leaves(stage["spec"]) if path.endswith(".part")]
        assert "test" not in parts
        assert all(".test" not in path and ".oracle" not in path for path, _ in leaves(stage["spec"]))
        if stage["key"]:
            assert parts
    assert stages[-1]["spec"]["test"]


@pytest.mark.parametrize("method", METHODS)
def test_no_stream_names_test(method: str) -> None:
    """`streams` is read from the source; every method says there what it reads."""
    streams = signature("method", method).streams
    assert streams
    assert {stream["part"] for stream in streams.values()} <= {"train", "val"}


# YAML = signature
GROUPS = {"method": "method", "predictor": "predictor", "model": "family", "data": "family"}
NO_FILE = ("none", "given", "base")
BESIDE: dict[str, tuple[str, ...]] = {
    "method": (),
    "model": ("input", "precision", "channels_last"),
}  # of every model; a data set's cut is its own


@pytest.mark.parametrize("group", GROUPS)
def test_a_yaml_of_a_files_name_has_its_keys_and_defaults(group: str) -> None:
    view = tuple(signature_of(PACKAGE / "data" / "view.py", "View").params)
    seen = 0
    for name in options(group):
        path = find_option(group, name)
        assert path is not None
        node = dict(read(path))
        stem = node.pop(GROUPS[group])
        if stem in NO_FILE or stem != name:
            continue
        seen += 1
        own = signature(group, stem).params
        node = {key: value for key, value in node.items() if key not in BESIDE.get(group, view)}
        assert list(node) == list(own), path
        for key, value in node.items():
            assert own[key].required or value == own[key].default, f"{path}: {key}"
    assert seen >= {"method": 4, "predictor": 4, "model": 3, "data": 3}[group]


# seeds
@pytest.mark.parametrize("strategy", ["fine_tune", "few_shot"])
def test_the_same_seed_gives_the_same_numbers_and_another_others(strategy: str, tmp_path: Path) -> None:
    """Each in a store of its own, so that nothing is found and everything computed."""
    argv = [*words(strategy, "mlp"), *(["data.shots=3"] if strategy == "fine_tune" else [])]
    first, again, other = (
        results(run(tmp_path / place, [*argv, f"seed={seed}"])) for place, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert not any(stage["cached"] for found in (first, again, other) for stage in found["stages"])
    assert first["metrics"] == again["metrics"]
    assert first["metrics"] != other["metrics"]
    assert [stage["key"] for stage in first["stages"]] == [stage["key"] for stage in again["stages"]]
    by_name = {stage["name"]: stage["key"] for stage in other["stages"]}
    assert by_name["pretrain"] == first["stages"][0]["key"]  # the source model is a given
    assert by_name["evaluate"] != first["stages"][-1]["key"]
