"""compare, list, show A B and note as commands: queries, columns, figures, notes, and what is asked amiss."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Told
from madeup import place, run, seeds

from transfer_cli.cli import watch
from transfer_cli.report.screen import Screen
from transfer_cli.rundir.note import read_note
from transfer_cli.rundir.runs import find

Transfer = Callable[..., Told]


@pytest.fixture
def runs(tmp_path: Path) -> list[dict[str, Any]]:
    """Three strategies of three seeds, one of them hurt."""
    few = [*seeds("scratch", 0.9, 0.91, 0.93), *seeds("fine_tune", 0.7, 0.72, 0.74), *seeds("coral", 0.95, 0.97, 0.98)]
    place(tmp_path / "runs", *few)
    return few


def table(told: Told) -> list[dict[str, str]]:
    """Rows of a TSV by column."""
    head, *rows = (line.split("\t") for line in told.out.splitlines())
    return [dict(zip(head, row)) for row in rows]


def test_compare_takes_a_query_and_leaves_out(transfer: Transfer, runs: list[dict[str, Any]]) -> None:
    told = transfer("compare", "data=usps", "seed=0..1", "--not", "strategy=coral", "--not", "seed=2")
    assert [(row["strategy"], row["n"], row["verdict"]) for row in table(told)] == [
        ("scratch", "2", "baseline"), ("fine_tune", "2", "NEGATIVE transfer")
    ]  # fmt: skip
    everything = transfer("compare", "--all")
    assert [(row["strategy"], row["verdict"]) for row in table(everything)] == [
        ("coral", "better"), ("scratch", "baseline"), ("fine_tune", "NEGATIVE transfer")
    ]  # fmt: skip
    by_glob = transfer("compare", "*-usps", "strategy=coral,scratch")
    assert [row["strategy"] for row in table(by_glob)] == ["coral", "scratch"]


def test_a_query_that_finds_nothing(transfer: Transfer, runs: list[dict[str, Any]]) -> None:
    told = transfer("compare", "strategy=coral", "accuracy=..0.5")
    assert (told.code, told.out) == (2, "")
    assert told.errors == [
        "error: strategy=coral accuracy=..0.5: no run fits all of this; of 9 runs each alone finds: "
        "strategy=coral 3, accuracy=..0.5 0",
        "  do: transfer list",
    ]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["--rule", "best"],
            "error: --rule=best: one of final, source_val, target_val, entropy, information, bnm, snd, dev, knn, mmd, "
            "oracle",
        ),
        (["--rule", "oracle"], "error: --rule=oracle: none of these runs has it; they have final"),
        (["--by", "stratagy"], "error: --by=stratagy: no run has this word; nearest: strategy"),
        (["--interval", "z"], "error: --interval=z: one of t, bootstrap"),
        (["--metric", "acuracy"], "error: --metric=acuracy: none of these runs has it; nearest: accuracy"),
        (["--columns", "mean,bst"], "error: --columns=bst: no such column; nearest: test"),
        (["--watch"], "error: --watch: needs a terminal; a pipe or file gets the table once, without it"),
        (
            ["--baseline", "strategy=adda"],
            "error: --baseline=strategy=adda: no group with a result fits; groups here: strategy=scratch; "
            "strategy=fine_tune; strategy=coral",
        ),
    ],
)
def test_what_is_asked_amiss(transfer: Transfer, runs: list[dict[str, Any]], words: list[str], line: str) -> None:
    told = transfer("compare", "--all", *words)
    assert (told.code, told.errors[0]) == (2, line)


def test_the_words_of_an_option_reach_the_comparison(transfer: Transfer, runs: list[dict[str, Any]]) -> None:
    told = transfer("compare", "--all", "--baseline", "strategy=coral", "--columns", "strategy,verdict,effect")
    assert told.out.splitlines()[0] == "strategy\tverdict\teffect"
    assert {row["strategy"]: row["verdict"] for row in table(told)} == {
        "coral": "baseline", "scratch": "worse", "fine_tune": "worse"
    }  # fmt: skip
    by = transfer("compare", "--all", "--by", "pretrain", "--metric", "nll", "--sort", "mean", "--limit", "1")
    assert by.out.splitlines()[0].split("\t")[:3] == ["pretrain", "n", "n_failed"]
    assert len(by.out.splitlines()) == 2


def test_a_pipe_gets_all_a_terminal_would_have_to_leave_out(transfer: Transfer, tmp_path: Path) -> None:
    few = [run("fine_tune", 0, 0.5 + steps / 1000, trainer__steps=steps) for steps in range(60)]
    place(tmp_path / "runs", *few)
    told = transfer("compare", "--all")
    assert len(told.out.splitlines()) == 61
    assert all(len(line.split("\t")) == len(told.out.splitlines()[0].split("\t")) for line in told.out.splitlines())
    assert "…" not in told.out


def test_the_notes_become_the_caption(transfer: Transfer, runs: list[dict[str, Any]]) -> None:
    latex = transfer("compare", "--all", "--format", "latex").out
    assert [rule in latex for rule in ("\\toprule", "\\midrule", "\\bottomrule", "\\hline")] == [True] * 3 + [False]
    assert "P: nothing else is better and cheaper. delta, p: paired by seed, Holm over 2." in latex
    assert "NEGATIVE transfer" in latex
    assert "add --baseline" not in latex  # a hint is for the screen
    markdown = transfer("compare", "--all", "--format", "md").out
    assert "P: nothing else is better and cheaper  \n" in markdown


def test_list_takes_a_query(transfer: Transfer, runs: list[dict[str, Any]]) -> None:
    told = transfer("list", "runs", "strategy=coral,scratch", "--not", "seed=0")
    assert [row["run"] for row in table(told)] == [runs[at]["id"] for at in (8, 7, 2, 1)]
    assert table(transfer("list", "strategy=coral", "seed=0"))[0]["run"] == runs[6]["id"]
    assert transfer("list", "strategies", "seed=0").errors[0].startswith("error: list=seed=0: takes one group: runs")


def test_a_note_is_kept_and_shown(transfer: Transfer, runs: list[dict[str, Any]], tmp_path: Path) -> None:
    first = runs[0]["id"]
    assert transfer("note", first, "lr=0.1\x1b[31m as\n in the paper").out == (
        f"run\tnote\n{first}\tlr=0.1\\x1b[31m as in the paper\n"
    )
    assert transfer("note", first).out.splitlines()[1].startswith(f"{first}\tlr=0.1")
    assert table(transfer("list", "seed=0", "strategy=scratch"))[0]["note"].endswith("as in the paper")
    assert f"{first}: lr=0.1" in transfer("compare", "--all", "--format", "table").out
    assert "note  lr=0.1" in transfer("show", first).err
    assert [row["run"] for row in table(transfer("list", "note=*paper"))] == [first]
    transfer("note", first, "")
    assert not (find(tmp_path / "runs", first)[0] / "note.txt").exists()
    assert transfer("note", first, "x" * 501).errors == ["error: note: 501 characters, at most 500"]
    assert transfer("note").code == transfer("note", first, "two", "texts").code == 2


def test_a_note_that_leads_elsewhere_is_none(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "note.txt").symlink_to(tmp_path / "secret")
    assert read_note(tmp_path / "run") == ""


def test_show_of_two_runs_is_what_differs(transfer: Transfer, tmp_path: Path) -> None:
    one, other = run("fine_tune", 0, 0.9, trainer__steps=5), run("fine_tune", 1, 0.8, trainer__steps=9)
    one["versions"], other["versions"] = {"torch": "2.14.1", "numpy": "2"}, {"torch": "2.15.0", "numpy": "2"}
    place(tmp_path / "runs", one, other)
    for each, digest in ((one, "aaaa"), (other, "bbbb")):
        stage = {"stage": "fine_tune", "spec": {"code": {"hub": 2, "files": digest}}}
        (find(tmp_path / "runs", each["id"])[0] / "plan.json").write_text(json.dumps([stage]))
    told = transfer("show", one["id"], other["id"])
    rows = {(row["what"], row["name"]): (row["one"], row["other"]) for row in table(told)}
    assert rows == {
        ("setting", "seed"): ("0", "1"),
        ("setting", "trainer.steps"): ("5", "9"),
        ("result", "accuracy"): ("0.9", "0.8"),
        ("result", "nll"): (str(1 - 0.9), str(1 - 0.8)),
        ("cost", "seconds"): ("60.0", "61.0"),
        ("code", "fine_tune files"): ("aaaa", "bbbb"),
        ("version", "torch"): ("2.14.1", "2.15.0"),
    }
    place(tmp_path / "runs", *(third := [run("scratch", 0)]))
    assert "means 3 runs" in transfer("show", one["id"], other["id"], third[0]["id"]).errors[0]


def test_predict_takes_a_query_for_its_run(transfer: Transfer, runs: list[dict[str, Any]]) -> None:
    told = transfer("predict", "strategy=coral", "./new")
    ids = ", ".join(one["id"] for one in runs[6:])
    assert told.errors == [f"error: strategy=coral: means 3 runs: {ids}; predict takes one"]


def test_watching_shows_what_changed_until_ctrl_c(monkeypatch: Any, runs: list[dict[str, Any]], tmp_path: Path) -> None:
    import io

    from transfer_cli.cli.options import read
    from transfer_cli.report.tables import Column, Table

    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    states, out = iter(["running", "running", "done"]), Tty()
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", sleep)
    options = read(["compare", "--watch"])
    code = watch.shown(options, Screen.of(options, out, Tty()), lambda: Table([Column("s")], [{"s": next(states)}]))
    assert code == 0
    assert [out.getvalue().count(word) for word in ("running", "done", watch.CLEARED)] == [1, 1, 2]


def test_a_figure_of_bars_curves_and_cost(transfer: Transfer, runs: list[dict[str, Any]], tmp_path: Path) -> None:
    for one in runs[:4]:
        rows = [{"stage": "fine_tune", "step": step, "target_val/accuracy": step / 10} for step in (1, 5)]
        lines = [{"stage": "pretrain", "step": 0, "loss": 2.0}, *rows]
        (find(tmp_path / "runs", one["id"])[0] / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in lines))
    told = transfer("compare", "--all", "--plot", "out.png")
    assert told.code == 0
    assert (tmp_path / "out.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "written: out.png" in told.err
    failed = transfer("compare", "--all", "--plot", "no/such/folder.png")
    assert (failed.code, failed.errors) == (
        5, ["error: --plot=no/such/folder.png: cannot be written: No such file or directory"]
    )  # fmt: skip
