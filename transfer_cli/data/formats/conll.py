"""CoNLL files: a word and its tag a line, maybe columns between them, a blank line after each sentence.
Columns are separated by tabs, or by spaces in a file whose first line has no tab. Knows no parts and no data sets."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from transfer_cli.errors import DataError, Fault
from transfer_cli.metrics.spans import OUTSIDE, as_iob2, split

DOCUMENT = "-DOCSTART-"  # the first word of a line that begins a document and is no sentence
NO_BREAK_SPACE = "\u00a0"  # stands for a space inside a word: a text is its words joined by spaces


class Sentence(NamedTuple):
    """The line number of its first word; the words, none of which contains a space; one IOB2 tag a word."""

    line: int
    words: list[str]
    tags: list[str]


class Tagged(NamedTuple):
    """The sentences of a file, and the `dialect` of its tags as a text."""

    sentences: list[Sentence]
    dialect: str


class Line(NamedTuple):
    number: int
    word: str
    tag: str


def read_conll(file: Path, text: str, tag_column: int | None = None) -> Tagged:
    """Sentences of `text`, the content of `file`. The first column is the word, the last or `tag_column` (0 is the
    first) the tag; tags in IOB1, IOB2 (BIO) or BIOES become IOB2. DataError names the first line that is wrong and how
    many more are."""
    faults: list[Fault] = []
    groups = [group for group in _groups(file, text, tag_column, faults) if group]
    if faults:
        more = f"; {len(faults) - 1:,} more lines are wrong" if len(faults) > 1 else ""
        raise DataError(Fault(faults[0].key, f"{faults[0].text}{more}"))
    if not groups:
        raise DataError(Fault(str(file), "0 sentences; want a word and a tag a line"))
    raw = [[line.tag for line in group] for group in groups]
    sentences = [
        Sentence(group[0].number, [line.word for line in group], as_iob2(tags))
        for group, tags in zip(groups, raw, strict=True)
    ]
    return Tagged(sentences, dialect(raw))


def dialect(sentences: Sequence[Sequence[str]]) -> str:
    """The scheme in which the tags of all sentences are written: BIOES, IOB2, IOB1, or IOB2 with mistakes, counted."""
    steps = [
        (split(before), split(tag)) for tags in sentences for before, tag in pairwise([OUTSIDE, *tags]) if tag != "O"
    ]
    if any(prefix in ("E", "S") for _, (prefix, _) in steps):
        return "BIOES"
    begun = sum(prefix == "I" and kind != before for (_, before), (prefix, kind) in steps)
    if not begun:
        return "IOB2"
    if all(kind == before for (_, before), (prefix, kind) in steps if prefix == "B"):
        return "IOB1"
    return f"IOB2, but {begun:,} begin with I-"


def _groups(file: Path, text: str, tag_column: int | None, faults: list[Fault]) -> Iterator[list[Line]]:
    """The lines of each sentence, possibly none. Wrong lines are added to `faults`."""
    separator, columns, first = "", 0, 0
    group: list[Line] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith(DOCUMENT):
            yield group
            group = []
            continue
        separator = separator or ("\t" if "\t" in line else " ")
        cells = _cells(line, separator)
        columns, first = columns or len(cells), first or number
        wrong = _wrong(cells, columns, first, tag_column)
        if wrong:
            faults.append(Fault(f"{file} line {number}", wrong))
        else:
            place = -1 if tag_column is None else tag_column
            group.append(Line(number, cells[0].replace(" ", NO_BREAK_SPACE), cells[place]))
    yield group


def _cells(line: str, separator: str) -> list[str]:
    cells = [cell.strip(" ") for cell in line.split(separator)]
    return cells if separator == "\t" else [cell for cell in cells if cell]


def _wrong(cells: Sequence[str], columns: int, first: int, tag_column: int | None) -> str | None:
    """What is wrong with a line, if anything; `columns` are as in line `first`."""
    if len(cells) != columns:
        return f"{len(cells)} columns, want {columns} as line {first} has"
    if columns < 2:
        return "1 column, want a word and a tag"
    if tag_column is not None and tag_column >= columns:
        return f"{columns} columns, and data.tag_column={tag_column} counts from 0"
    if not cells[0]:
        return "no word before the tag"
    try:
        split(cells[-1 if tag_column is None else tag_column])
    except ValueError as error:
        return str(error)
    return None
