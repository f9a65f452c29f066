"""Text for output: cleaned of control characters, encodable, measured in terminal cells, wrapped at spaces, and
coloured last.

rich is not used here, because it shortens columns without a mark, and its import takes half of the time that `list` may
take."""

import unicodedata
from collections.abc import Iterable
from typing import Literal

from transfer_cli.safe import safe

Meaning = Literal["good", "bad", "look", "dim", "head"]
SGR: dict[Meaning, str] = {"good": "32", "bad": "31", "look": "33", "dim": "2", "head": "1;4"}
ASCII = {"±": "+-", "→": "->", "×": "x", "·": "|", "─": "-", "…": "...", "–": "-", "—": "-", "“": '"', "”": '"'}
BREAKS = str.maketrans({"\t": "\\t", "\n": "\\n", "\r": "\\r", "\u2028": "\\u2028", "\u2029": "\\u2029"})


def clean(text: str, encoding: str = "utf-8") -> str:
    """One line that `encoding` can write, without control or bidi characters; `±` becomes `+-` if necessary.

    >>> clean("92.1 ±1.3\\n→ é", "ascii")
    '92.1 +-1.3\\\\x0a-> \\\\xe9'"""
    if text.isascii() and text.isprintable():  # the fast path, for almost every cell of a long list
        return text
    text = safe(text).translate(BREAKS)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(_encodable(letter, encoding) for letter in text)
    return text


def _encodable(letter: str, encoding: str) -> str:
    try:
        letter.encode(encoding)
    except UnicodeEncodeError:
        return ASCII.get(letter) or letter.encode("ascii", "backslashreplace").decode()
    return letter


def cells(text: str) -> int:
    """The number of terminal cells of `text`: 2 for an East Asian wide letter, 0 for a combining mark."""
    if text.isascii():
        return len(text)
    return sum(_cells(letter) for letter in text)


def _cells(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def wrap(parts: Iterable[str], width: int, *, between: str = " ", indent: str = "") -> list[str]:
    """Parts joined by `between` into lines of at most `width` cells; all lines except the first start with `indent`. A
    part is never split: one that is longer than `width` gets its own line."""
    lines: list[str] = []
    for part in parts:
        if lines and cells(lines[-1]) + cells(between) + cells(part) <= width:
            lines[-1] += between + part
        else:
            lines.append((indent if lines else "") + part)
    return lines


def paint(text: str, meaning: Meaning | None, color: bool) -> str:
    """The text in the colour of its meaning; unchanged without `color`. Colour only repeats what the words say."""
    return f"\x1b[{SGR[meaning]}m{text}\x1b[0m" if meaning and color else text
