"""verify: an experiment against the number it should reach, the files of a run against their checksums."""

import json
from pathlib import Path
from typing import Any

import pytest

from transfer_cli.cli.main import main
from transfer_cli.config.compose import load
from transfer_cli.config.folders import options
from transfer_cli.runner.verify import expectation

TINY = ("verify", "experiment=hello", "trainer=tiny", "model=mlp", "align=none")


@pytest.fixture
def transfer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*argv: str) -> tuple[int, str, str]:
        code = main([*argv, "--runs", str(tmp_path / "runs")])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


@pytest.mark.parametrize("name", sorted(options("experiment")))
def test_every_experiment_says_what_it_should_reach(name: str) -> None:
    expect = expectation(load([f"experiment={name}"]))
    assert expect.metric.startswith("test/")
    assert expect.source


def test_a_number_within_the_tolerance_agrees(transfer: Any) -> None:
    code, out, err = transfer(*TINY, "expect.value=0.5", "expect.tolerance=0.5", "expect.n=2", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["n"] == 2
    assert told["agrees"]
    runs = [run for seed in (0, 1) for run in [transfer("list", "runs", f"seed={seed}", "--json")[1]]]
    values = [json.loads(run)["rows"][0]["value"] for run in runs]
    assert told["value"] == pytest.approx(sum(values) / 2)


def test_a_number_outside_the_tolerance_is_told_with_code_9(transfer: Any) -> None:
    code, out, err = transfer(*TINY, "expect.value=1.5", "expect.tolerance=0.25", "--format", "table")
    assert code == 9
    assert "DIFFERS" in out
    assert "test/accuracy is -" in err.splitlines()[-1]
    assert err.splitlines()[-1].endswith("off, allowed 0.25")


def test_words_of_the_expectation_are_the_short_version(transfer: Any) -> None:
    words = ("expect.words=['trainer.steps=1']", "expect.value=0.5", "expect.tolerance=0.5")
    assert transfer(*TINY, *words)[0] == 0
    found = json.loads(transfer("list", "--json")[1])["rows"]
    results = json.loads((Path(found[0]["path"]) / "results.json").read_text())
    assert results["config"]["trainer"]["steps"] == 1


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("expect.metric=test/acuracy",), "expect.metric=test/acuracy: it has no value under final"),
        (("expect.tolerance=-1",), "expect.tolerance=-1: number >= 0"),
    ],
)
def test_wrong_expectations(transfer: Any, words: tuple[str, ...], text: str) -> None:
    code, _, err = transfer(*TINY, *words)
    assert code == 2
    assert text in err


def test_words_without_an_experiment_are_a_query(transfer: Any) -> None:
    code, _, err = transfer("verify", "data=digits")
    assert code == 2
    assert "no runs in " in err


def test_a_run_on_texts_is_whole(transfer: Any, tmp_path: Path) -> None:
    """Its plan also names a tokenizer, by a digest as long as a key."""
    (tmp_path / "r.csv").write_text("text,label\n" + "good thing,pos\nbad thing,neg\n" * 20)
    words = (f"data={tmp_path / 'r.csv'}", "strategy=scratch", "trainer=tiny")
    assert transfer("run", *words, "-q")[0] == 0
    assert transfer("verify", "last")[0] == 0


def test_the_files_of_a_run(transfer: Any, tmp_path: Path) -> None:
    run = Path(transfer("run", *TINY[1:], "-q")[1].strip())
    code, out, _ = transfer("verify", "last")
    assert code == 0
    assert out.endswith("stages are as they were written\n")
    assert transfer("verify", "strategy=fine_tune", "seed=0..4")[:2] == (0, out)
    code, _, err = transfer("verify", "strategy=fine_tune", "seed=7")
    assert (code, "seed=7 0" in err) == (2, True)
    damaged = next(run.glob("checkpoints/fine_tune-*")).resolve()
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    code, _, err = transfer("verify", "last")
    assert code == 9
    assert f"1 of 3 stages are damaged or gone: {damaged.parent.name[:12]}" in err
