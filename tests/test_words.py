"""Words of the command line: short forms, lists of values, literal paths, and what is said when one is wrong."""

from pathlib import Path

import pytest

from transfer_cli.config import words
from transfer_cli.config.folders import options
from transfer_cli.config.synonyms import SYNONYMS
from transfer_cli.config.words import Word, expand, split
from transfer_cli.errors import ConfigError


def one(*given: str) -> list[str]:
    """The only run that the words stand for."""
    (run,) = expand(given, multirun=False, seeds=None)
    return run


def lines(*given: str, multirun: bool = False, seeds: int | None = None) -> list[str]:
    """Error lines of a command."""
    with pytest.raises(ConfigError) as caught:
        expand(given, multirun=multirun, seeds=seeds)
    return [fault.line() for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("align=coral", ("align", "coral")),
        ("method@align=coral", ("align", "coral")),
        ("+method@align_2=coral", ("align_2", "coral")),
        ("data@source=mnist", ("source", "mnist")),
        ("predictor@evaluate.predictor=knn", ("predictor", "knn")),
        ("predictor.k=3", ("evaluate.predictor.k", "3")),
        ("++trainer.lr=1e-3", ("trainer.lr", "1e-3")),
        ("data=a=b", ("data", "a=b")),
    ],
)
def test_a_word_is_a_key_and_a_value(typed: str, meant: tuple[str, str]) -> None:
    assert words.parse(typed) == meant


def test_a_word_without_value_is_an_error() -> None:
    """`data=$X` where X is not set: the current folder would be a bad guess."""
    assert lines("data=", "trainer.lr=") == ["data: has no value", "trainer.lr: has no value"]


@pytest.mark.parametrize("word", ["model=mlp,", "seed=,1", "trainer.lr=0.1,,0.2", "weights=,"])
@pytest.mark.parametrize("multirun", [True, False])
def test_a_comma_with_nothing_beside_it_is_an_error(word: str, multirun: bool) -> None:
    assert lines(word, multirun=multirun) == [f"{word}: a value is missing next to a comma"]


def test_a_comma_of_a_path_a_list_or_a_text_is_no_missing_value() -> None:
    kept = ["data=./pictures,", "plugins=[a,]", "expect.source='a,'"]
    assert one(*kept) == kept


def test_values_multiply_and_the_last_word_changes_fastest() -> None:
    runs = expand(["strategy=knn,coral", "seed=0..2", "data=usps"], multirun=True, seeds=None)
    wanted = [[f"strategy={s}", f"seed={n}", "data=usps"] for s in ("knn", "coral") for n in (0, 1, 2)]
    assert runs == wanted


def test_seeds_is_a_list_of_seeds() -> None:
    assert expand(["data=usps"], multirun=True, seeds=3) == [["data=usps", f"seed={n}"] for n in range(3)]


def test_equal_runs_run_once() -> None:
    assert expand(["seed=0,0,0..1"], multirun=True, seeds=None) == [["seed=0"], ["seed=1"]]


def test_a_glob_stands_for_the_options_it_fits(tmp_path: Path) -> None:
    (tmp_path / "strategy").mkdir()
    (tmp_path / "strategy" / "mine.yaml").write_text("# mine\n")
    (star,) = zip(*expand(["strategy=*"], multirun=True, seeds=None, search=[tmp_path]), strict=True)
    assert list(star) == [f"strategy={name}" for name in options("strategy", [tmp_path])]
    assert "strategy=mine" in star
    assert one("align=wass*") == ["align=wasserstein"]
    assert lines("strategy=zz*", multirun=True) == ["strategy=zz*: matches no option; see transfer list strategy"]


def test_brackets_and_quotes_hold_a_value_together() -> None:
    typed = ["stages=[pretrain,evaluate]", "evaluate={way: 5, shots: 1}", "data.name='a,b'"]
    assert one(*typed) == typed
    assert split("[a,b],{c: 1, d: 2},'e,f',g") == ["[a,b]", "{c: 1, d: 2}", "'e,f'", "g"]


@pytest.mark.parametrize("name", ["my,pics", "a=b", "Bilder é", "x [1]", "0..4", "nice*"])
def test_a_path_that_exists_is_one_value(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert one(f"data={tmp_path / name}") == [f"data={tmp_path / name}"]
    assert one(f"weights={tmp_path / name}") == [f"weights={tmp_path / name}"]


def test_paths_split_where_each_part_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert expand(["data=./a,./b,usps"], multirun=True, seeds=None) == [["data=./a"], ["data=./b"], ["data=usps"]]
    assert expand(["data=./a,./c"], multirun=True, seeds=None) == [["data=./a,./c"]]  # one path, to be complained of
    (tmp_path / "a,b").mkdir()
    assert expand(["data=a,b"], multirun=True, seeds=None) == [["data=a,b"]]


def test_several_values_want_multirun() -> None:
    found = lines("strategy=knn,coral", "seed=0..4", "data=usps")
    assert found == ["strategy: 2 values: add -m", "seed: 5 values: add -m"]


def test_a_word_given_twice_is_an_error_that_shows_the_list() -> None:
    assert lines(*(f"seed={n}" for n in range(5))) == ["seed: given 5 times; say seed=0..4 -m"]
    assert lines("align=coral", "method@align=none") == ["align: given 2 times; say align=coral,none -m"]


def test_seed_and_seeds_exclude_each_other() -> None:
    assert "--seeds=3: seed= is given too; say one of them" in lines("seed=1", seeds=3)
    assert lines(seeds=0) == ["--seeds=0: whole number >= 1"]


def test_what_is_no_word_is_said_with_everything_else() -> None:
    found = lines("usps", "~align=coral", "strategy=knn,coral")
    assert found == [
        "usps: a word is key=value; all: transfer run --help",
        "~align: removing with ~ is not possible; say key=null or NAME=none; all: transfer run --help",
        "strategy: 2 values: add -m",
    ]
    assert lines("x" * 30 + "=" + "1" * 5000)[0].endswith("longer than 4,096 characters; all: transfer run --help")


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("starategy=dann", "starategy: no such word; nearest: strategy; all: transfer run --help"),
        ("target=cifar10", "target=cifar10: the word is data=cifar10"),
        ("lr=0.1", "lr=0.1: the word is trainer.lr=0.1"),
        ("pretrained=true", "pretrained=true: the word is weights=imagenet"),
        ("align.method=coral", "align.method=coral: the word is align=coral"),
        ("data.family=folder", "data.family=folder: the word is data=folder"),
        ("evaluate.predictor.predictor=knn", "evaluate.predictor.predictor=knn: the word is predictor=knn"),
        ("qqqqqq=1", "qqqqqq: no such word; all: transfer run --help"),
    ],
)
def test_a_wrong_word_names_the_right_one(typed: str, line: str) -> None:
    known = (*words.CHOICES, *words.VALUES)
    fault = words.misplaced(words.parse(typed), known)
    assert fault is not None
    assert fault.line() == line


def test_synonyms_lead_to_words_that_exist() -> None:
    known = {*words.CHOICES, *words.VALUES}
    assert {Word(right.partition("=")[0], "").top for right in SYNONYMS.values()} <= known
    assert not known & set(SYNONYMS)


def test_first_values_leave_something_to_check() -> None:
    assert words.first_values(["seed=0", "seed=1", "data=usps,mnist", "usps"]) == ["seed=0", "data=usps"]
