"""Entities against seqeval in its default mode, on regular and on malformed tags."""

import warnings
from typing import Any

import pytest
import seqeval.metrics as oracle
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from transfer_cli.metrics.entities import entities, entity_counts, f1_rows
from transfer_cli.metrics.spans import Span, as_iob2, spans

TYPES = ("LOC", "PER", "a-b")
TAGS = ("O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in TYPES))
Pair = tuple[list[str], list[str]]


@st.composite
def sentences(draw: st.DrawFn) -> Pair:
    length = draw(st.integers(1, 8))
    tags = st.lists(st.sampled_from(TAGS), min_size=length, max_size=length)
    gold = draw(tags)
    return gold, draw(st.one_of(st.just(gold), tags))


def seqeval(gold: list[list[str]], predicted: list[list[str]]) -> dict[str, float]:
    """Its numbers under our names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report: dict[str, Any] = oracle.classification_report(gold, predicted, output_dict=True, zero_division=0)
    short = (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score"))
    values = {name: report["micro avg"][theirs] for name, theirs in short}
    values |= {f"{name}_macro": report["macro avg"][theirs] for name, theirs in short}
    kinds = [kind for kind in report if not kind.endswith(" avg")]
    return values | {f"{name}/{kind}": report[kind][theirs] for kind in kinds for name, theirs in short}


@settings(deadline=None, max_examples=300)
@given(st.lists(sentences(), min_size=1, max_size=6))
def test_all_numbers_equal_seqeval(pairs: list[Pair]) -> None:
    gold, predicted = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    counts = entity_counts(gold, predicted, TYPES)
    got = entities(counts, TYPES)
    if counts[..., 1:].sum():  # seqeval's report refuses sentences without any entity
        assert got == pytest.approx(seqeval(gold, predicted), abs=1e-9)
    over, under = f1_rows(counts).sum(0).tolist()
    assert over / max(under, 1) == pytest.approx(got["f1"], abs=1e-12)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(TAGS), max_size=12))
def test_spans_equal_seqeval_and_survive_iob2(tags: list[str]) -> None:
    assert spans(tags) == [Span(*entity) for entity in get_entities(tags)]
    assert spans(as_iob2(tags)) == spans(tags)
    assert set(as_iob2(tags)) <= {"O", *(f"{prefix}-{kind}" for prefix in "BI" for kind in TYPES)}


@pytest.mark.parametrize(
    "tags",
    [
        ["B-PER", "I-PER", "B-PER", "O", "B-LOC"],  # IOB2
        ["I-PER", "I-PER", "B-PER", "O", "I-LOC"],  # IOB1
        ["B-PER", "E-PER", "S-PER", "O", "S-LOC"],  # BIOES
    ],
)
def test_the_three_dialects_say_the_same(tags: list[str]) -> None:
    assert spans(tags) == [Span("PER", 0, 1), Span("PER", 2, 2), Span("LOC", 4, 4)]
    assert as_iob2(tags) == ["B-PER", "I-PER", "B-PER", "O", "B-LOC"]


def test_counts_by_hand() -> None:
    """One sentence: LOC right, PER one word too long; another without entities."""
    gold = [["B-LOC", "O", "B-PER", "I-PER"], ["O"]]
    predicted = [["B-LOC", "B-PER", "I-PER", "I-PER"], ["O"]]
    counts = entity_counts(gold, predicted, ("LOC", "PER"))
    assert counts.tolist() == [[[1, 1, 1], [0, 1, 1]], [[0, 0, 0], [0, 0, 0]]]
    got = entities(counts, ("LOC", "PER"))
    assert (got["f1"], got["f1_macro"], got["f1/LOC"], got["f1/PER"]) == (0.5, 0.5, 1, 0)
    assert f1_rows(counts).tolist() == [[2, 4], [0, 0]]


def test_no_entity_anywhere_is_0_and_no_type_is_listed() -> None:
    got = entities(entity_counts([["O"]], [["O"]], TYPES), TYPES)
    assert got == dict.fromkeys(("precision", "recall", "f1", "precision_macro", "recall_macro", "f1_macro"), 0)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="sentence 1 has 1 gold and 2 predicted tags"):
        entity_counts([["O"], ["O"]], [["O"], ["O", "O"]], TYPES)
    with pytest.raises(ValueError, match="1 gold and 2 predicted sentences"):
        entity_counts([["O"]], [["O"], ["O"]], TYPES)
    with pytest.raises(ValueError, match="entity type MISC is not one of LOC, PER, a-b"):
        entity_counts([["B-MISC"]], [["O"]], TYPES)
    with pytest.raises(ValueError, match="tag 'PER'"):
        spans(["PER"])
    with pytest.raises(ValueError, match=r"want \[N, 3, 3\]"):
        entities(torch.zeros(2, 3), TYPES)
