"""The glossary: what `transfer help WORD` prints, which words it must hold, and the same list in the README."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from madeup import compare, run, seeds

from transfer_cli.cli import glossary
from transfer_cli.report.tables import STATES
from transfer_cli.scoring.classify import Classify
from transfer_cli.scoring.language import Language
from transfer_cli.scoring.multilabel import Multilabel
from transfer_cli.scoring.regress import Regress
from transfer_cli.scoring.tag import Tag
from transfer_cli.selection_rules import RULES

Transfer = Callable[..., Any]
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
VERDICTS = ("better", "worse", "NEGATIVE transfer", "unclear", "baseline")
LEVELS = ("FAIL", "warn")  # of a check; ok, off and note say themselves
WANTED = (
    *("run", "sweep", "experiment", "strategy", "stage", "method", "source", "target", "align", "pretrain"),
    *("fine_tune", "evaluate", "predictor", "rule", "final", "source_val", "target_val", "oracle", "shots", "draw"),
    *("episode", "fold", "seed", "baseline", "delta", "NEGATIVE transfer", "unclear", "NO CONCLUSION", "P", "p Holm"),
    *("p", "interval", "cost", "trained", "cached", "plan", "key", "store", "weights", "model", "head", "task", "kind"),
    *("sampler", "view", "mark", "measure", "domain", "shift", "whole"),
)


@pytest.mark.parametrize("word", WANTED)
def test_every_word_of_ours_is_defined_in_one_or_two_sentences(word: str) -> None:
    text = glossary.WORDS[word]
    assert text[0].isupper() or text[0] == "`"
    assert text.endswith(".")
    assert 1 <= len(re.findall(r"\.(?:\s|$)", text)) <= 2
    assert all(len(line) <= 80 for line in glossary.entry(word).splitlines())


def heads() -> list[str]:
    """Fixed heads of the comparison tables on a screen: of several seeds, of one each, with several rules."""
    several = [*seeds("scratch", 0.7, 0.74, 0.72), *seeds("fine_tune", 0.9, 0.92, 0.91)]
    single = [run("scratch", 0, 0.7), run("fine_tune", 0, 0.9)]
    columns = [column for runs in (several, single) for column in compare(runs).on_screen()]
    return [column.title for column in columns if column.title and column.name != "mean"]  # its head is the metric


def test_the_heads_of_compare_are_found() -> None:
    assert {"strategy", "n", "delta", "p Holm", "verdict", "cost", "run"} <= set(heads())


@pytest.mark.parametrize("word", sorted({*heads(), *RULES, *VERDICTS, *LEVELS, "labels"}))
def test_what_a_table_of_results_says_is_defined(word: str) -> None:
    assert word in glossary.WORDS


def measures_shown() -> set[str]:
    """Labels of the measures that tables for people show, of all tasks."""
    scorings = (Classify, Language, Multilabel, Regress, Tag)
    shown = [(name, measure) for each in scorings for name, measure in each.measures.items() if measure.shown]
    return {measure.label or name for name, measure in shown}


@pytest.mark.parametrize("word", sorted(measures_shown()))
def test_every_measure_on_a_screen_is_defined(word: str) -> None:
    assert word in glossary.WORDS


def test_verdicts_and_levels_are_those_of_the_program() -> None:
    assert {word.split()[0] for word in (*VERDICTS, *LEVELS)} - {"unclear"} <= set(STATES)


SPELT = {
    ("P",): "P",
    ("p",): "p",
    ("p", "holm"): "p Holm",
    ("fold",): "fold",
    ("negative transfer",): "NEGATIVE transfer",
    ("no", "conclusion"): "NO CONCLUSION",
}


@pytest.mark.parametrize(("asked", "word"), SPELT.items())
def test_help_prints_a_word(transfer: Transfer, asked: list[str], word: str) -> None:
    told = transfer("help", *asked)
    assert (told.code, told.err) == (0, "")
    assert " ".join(told.out.split()) == f"{word}: {glossary.WORDS[word]}"


def test_help_words_lists_all(transfer: Transfer) -> None:
    lines = transfer("help", "words").out.splitlines()
    assert [line.partition(":")[0] for line in lines if not line.startswith(" ")] == list(glossary.WORDS)


def test_a_command_comes_before_a_word_of_the_same_name(transfer: Transfer) -> None:
    assert "run" in glossary.WORDS
    assert transfer("help", "run").out.startswith("usage: transfer run ")


@pytest.mark.parametrize(
    ("asked", "near"), [("orakel", "oracle"), ("foldd", "fold"), ("Oracel", "oracle"), ("compar", "compare")]
)
def test_the_nearest_is_offered_for_an_unknown_word(transfer: Transfer, asked: str, near: str) -> None:
    told = transfer("help", asked)
    assert (told.code, told.out) == (2, "")
    assert told.err == f"error: help {asked}: no such word or command; nearest: {near}; all: transfer help words\n"


def test_the_readme_holds_the_same_list() -> None:
    assert f"\n{glossary.HEADING}\n" in README
    assert glossary.with_words(README) == README, "run: python -m transfer_cli.cli.glossary README.md"


def test_a_list_that_is_out_of_date_is_replaced() -> None:
    old = f"# x\n\n{glossary.HEADING}\n\n- **run**: gone.\n\n## After\n\ntext\n"
    new = glossary.with_words(old)
    assert new.startswith(f"# x\n\n{glossary.HEADING}\n\n")
    assert new.endswith("\n\n## After\n\ntext\n")
    assert "gone" not in new
    assert glossary.markdown() in new
    assert glossary.with_words(new) == new
