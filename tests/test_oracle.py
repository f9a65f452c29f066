"""`oracle: true`: a test row at each validation, in brackets, choosing nothing, only when asked for."""

import json
from pathlib import Path

from transfer_cli.cli.main import main

WORDS = ["run", "data=digits", "source=digits", "model=mlp", "trainer=tiny", "trainer.validations=3"]


def results(runs: Path) -> dict:
    (path,) = runs.glob("fine_tune-digits/*/results.json")
    return json.loads(path.read_text())


def test_an_oracle_is_shown_in_brackets_and_changes_nothing_else(tmp_path, capsys):
    assert main([*WORDS, "--runs", str(tmp_path / "a"), "--format", "table"]) == 0
    plain, table = results(tmp_path / "a"), capsys.readouterr().out
    assert main([*WORDS, "oracle=true", "--runs", str(tmp_path / "b"), "--format", "table"]) == 0
    marked, shown = results(tmp_path / "b"), capsys.readouterr().out
    assert "oracle" not in plain["metrics"]
    assert "picked on test" not in table
    assert marked["metrics"]["final"] == plain["metrics"]["final"]
    assert marked["headline"] == plain["headline"]
    assert marked["metrics"]["oracle"]["test/accuracy"] >= 0
    assert "in brackets: picked on test, no result" in shown
    keys = [[stage["key"] for stage in run["stages"] if stage["name"] == "fine_tune"] for run in (plain, marked)]
    assert keys[0] != keys[1]
