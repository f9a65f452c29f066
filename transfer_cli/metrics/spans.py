"""Tag sequences as spans of entities. Torch-free: data files and metrics read tags by the same rule.
A tag is "O", or a prefix, "-" and a type. IOB1, IOB2 and BIOES are read by one rule, that of conlleval (CoNLL-2000):
an entity starts at B- and S-, and at any tag whose predecessor is O, E-, S- or of another type; it ends before the next
start or O. So I- after O starts an entity, and every sequence has a reading."""

from collections.abc import Sequence
from typing import NamedTuple

OUTSIDE = "O"
PREFIXES = ("B", "I", "E", "S")


class Span(NamedTuple):
    """One entity: words `start` to `end`, the last one included."""

    type: str
    start: int
    end: int


def split(tag: str) -> tuple[str, str]:
    """Prefix and type of a tag; "O" has the type "". ValueError for what is no tag."""
    prefix, dash, kind = tag.partition("-")
    if tag != OUTSIDE and (prefix not in PREFIXES or not dash or not kind):
        raise ValueError(f"tag {tag!r}: want O, or B-, I-, E- or S- and a type")
    return prefix, kind


def spans(tags: Sequence[str]) -> list[Span]:
    """Entities of one sentence in order. ValueError for what is no tag."""
    read: list[Span] = []
    previous, previous_type = OUTSIDE, ""
    for place, tag in enumerate(tags):
        prefix, kind = split(tag)
        if prefix in ("B", "S") or (prefix != OUTSIDE and (previous in ("O", "E", "S") or previous_type != kind)):
            read.append(Span(kind, place, place))
        elif prefix != OUTSIDE:
            read[-1] = read[-1]._replace(end=place)
        previous, previous_type = prefix, kind
    return read


def as_iob2(tags: Sequence[str]) -> list[str]:
    """The same entities with B- at the first word of each and I- at its others. ValueError for what is no tag."""
    written = [OUTSIDE] * len(tags)
    for kind, start, end in spans(tags):
        written[start : end + 1] = [f"B-{kind}", *[f"I-{kind}"] * (end - start)]
    return written
