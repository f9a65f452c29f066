"""Explanations on the screen: one line for each input, then its reasons. Machine formats get one row for each
reason."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.report.text import Meaning, cells, clean, paint
from transfer_cli.runner.explanations import Explanation
from transfer_cli.safe import safe

if TYPE_CHECKING:
    from transfer_cli.explain.explaining import Answer, Reason

STRONG = 0.4  # words whose value is at least this share of the largest are coloured
COLUMNS = (
    Column("path"),
    Column("class"),
    Column("probability"),
    Column("by"),
    Column("without"),
    Column("without_random"),
    Column("drawing"),
    Column("tokens", only="json"),
)


def show_explanations(explanations: Sequence[Explanation], screen: Screen) -> None:
    """Shows the explanations; inputs with an error are left out."""
    if screen.format != "table":
        rows = [_row(one, reason) for one in explanations if one.answer for reason in one.answer.reasons]
        screen.show(Table(COLUMNS, rows, schema="explain/1"))
        return
    for one in explanations:
        if one.answer is not None:
            screen.write("".join(f"{line}\n" for line in _lines(one, one.answer, screen)))


def _row(one: Explanation, reason: "Reason") -> dict[str, Any]:
    return {
        "path": one.name,
        "class": reason.label,
        "probability": reason.test.before,
        "by": reason.by,
        "without": reason.test.without,
        "without_random": reason.test.random,
        "drawing": str((one.drawings or {}).get(reason.label, "")),
        "tokens": [[piece.strip(), value] for piece, value in reason.pieces],
    }


def _lines(one: Explanation, answer: "Answer", screen: Screen) -> Iterator[str]:
    """`a2.jpg  stain 48 %, Crack 41 % → explain/a2-stain.png, a2-Crack.png`, then the reasons."""
    look, reasons = screen.look, answer.reasons
    chances = ", ".join(f"{reason.label} {100 * answer.chances[reason.label]:.0f} %" for reason in reasons)
    drawings = list((one.drawings or {}).values())
    places = ", ".join([*map(str, drawings[:1]), *(path.name for path in drawings[1:])])
    name = Path(one.name).name if drawings else one.name
    yield clean(f"{name}  {chances}{f' → {places}' if places else ''}", look.encoding)
    for reason in reasons:
        if reason.pieces:
            yield from _coloured(reason, screen) if look.color else [_strongest(reason, screen)]
        name = f"{reason.label}, " if reasons[1:] else ""
        test = f"{name}without the marked 20 %: {100 * reason.test.without:.0f} %"
        yield clean(f"{test} (without a random 20 %: {100 * reason.test.random:.0f} %)", look.encoding)


def _coloured(reason: "Reason", screen: Screen) -> Iterator[str]:
    """The whole text; important words are coloured by the sign of their value."""
    look = screen.look
    most = max(abs(value) for _, value in reason.pieces) or 1.0
    line, width = "", 0
    for piece, value in reason.pieces:
        meaning: Meaning | None = None if abs(value) < STRONG * most else "good" if value > 0 else "bad"
        text = clean(piece, look.encoding)
        if line and width + cells(text) > look.width - 2:
            yield f"  {line}"
            line, width, text = "", 0, text.lstrip()
        line += paint(text, meaning, True)
        width += cells(text)
    yield f"  {line}"


def _strongest(reason: "Reason", screen: Screen) -> str:
    """The most important words with their values, for terminals without colour and for screen readers."""
    strongest = sorted(reason.pieces, key=lambda pair: -abs(pair[1]))[:8]
    shown = "   ".join(f"{safe(piece.strip())} {value:+.2f}" for piece, value in strongest)
    return clean(f"  {shown}", screen.look.encoding)
