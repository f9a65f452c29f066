"""The table of all commands, and its rendering for a terminal; renderers.py renders the other formats.

A cell is never cut. Columns that do not fit into the width are written, with their names, on an indented line below
their row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from typing import Any, Literal

from transfer_cli.analysis import numbers
from transfer_cli.analysis.statistics import Interval
from transfer_cli.errors import ConfigError, Fault, nearest
from transfer_cli.report.text import Meaning, cells, clean, paint, wrap

Unit = Literal["", "%", "+", "+%", "n", "short", "s", "B", "p"]
Only = Literal["screen", "machine", "json"] | None
STATES: dict[str, Meaning] = {
    "done": "good", "ok": "good", "running": "look", "waiting": "look", "interrupted": "look", "warn": "look",
    "failed": "bad", "died": "bad", "FAIL": "bad", "none": "dim", "cached": "dim", "off": "dim", "note": "dim",
    "better": "good", "worse": "bad", "NEGATIVE": "bad", "baseline": "dim",
}  # fmt: skip
SUFFIX: dict[str, str] = {"s": "_s", "B": "_bytes"}
GAP = "  "
ENOUGH = 24  # the least width, in cells, of a column that holds a wrapped sentence


@dataclass(frozen=True)
class Column:
    """A column. `name` is the key in a row and, with the suffix of the unit, the name in TSV and JSON; `head` is the
    heading on a screen, by default the name.

    Units: % a share of 1, + and +% a difference with its sign, n an exact count, short `1.2 M`, s seconds, B bytes, p a
    p value. `interval`: cells are Intervals, which machine formats write as three columns (`ends` names the last two).
    `only`: the column exists only on screens, in machine formats, or in JSON. `state`: the first word of a cell decides
    its colour. `wraps`: cells are sentences that may be wrapped; only for the last column."""

    name: str
    unit: Unit = ""
    head: str | None = None
    align: Literal["left", "right"] | None = None
    interval: bool = False
    ends: tuple[str, str] | None = None
    only: Only = None
    state: bool = False
    wraps: bool = False

    @property
    def title(self) -> str:
        return self.name + (" %" if self.unit == "%" else "") if self.head is None else self.head

    @property
    def right(self) -> bool:
        return self.align == "right" or (self.align is None and (self.unit != "" or self.interval))

    @property
    def machine(self) -> tuple[str, ...]:
        """Names of the columns in machine formats."""
        name = self.name + SUFFIX.get(self.unit, "")
        return (name, *(self.ends or (f"{name}_lo", f"{name}_hi"))) if self.interval else (name,)


@dataclass(frozen=True)
class Table:
    """A table. `rows` map column names to raw values (None: empty). `next`: a command, which is printed last and never
    wrapped. `notes` also go into captions of Markdown and LaTeX; `hints` are suggestions for the user and do not."""

    columns: Sequence[Column]
    rows: Sequence[Mapping[str, Any]]
    title: str = ""
    notes: Sequence[str] = ()
    next: str = ""
    schema: str = "table/1"
    extra: Mapping[str, Any] = field(default_factory=dict)  # further entries of the JSON document
    hints: Sequence[str] = ()

    def on_screen(self) -> list[Column]:
        return [column for column in self.columns if column.only not in ("machine", "json")]

    def for_machines(self, *, json: bool = False) -> list[Column]:
        return [column for column in self.columns if column.only != "screen" and (json or column.only != "json")]


def arranged(table: Table, sort: str | None, limit: int | None, columns: Sequence[str] = ()) -> Table:
    """The table sorted by a column (smallest first, empty last), with its first `limit` rows and, if `columns` names
    any, only these columns, in that order and in every format. Raises ConfigError for an unknown column."""
    rows, by_name = list(table.rows), {column.name: column for column in table.columns if column.only != "json"}
    named = [("--sort", sort)] if sort is not None else []
    named += [("--columns", name) for name in columns]
    faults = [
        Fault(option, "no such column", name, tuple(by_name), nearest(name, list(by_name)))
        for option, name in named
        if name not in by_name
    ]
    if faults:
        raise ConfigError(*faults)
    if sort is not None:
        rows.sort(key=lambda row: _order(row.get(sort)))
    chosen = [replace(by_name[name], only=None) for name in columns] or table.columns
    return replace(table, rows=rows[:limit], columns=chosen)


def _order(value: Any) -> tuple[bool, bool, Any]:
    value = value.value if isinstance(value, Interval) else value
    empty = value is None or value != value
    return empty, isinstance(value, str), 0 if empty else value


@dataclass(frozen=True)
class Look:
    """What a stream can show: its width in cells, its encoding, and colour. `plain`: one fact in each line."""

    width: int = 80
    encoding: str = "utf-8"
    color: bool = False
    plain: bool = False


def shown(value: Any, unit: Unit = "") -> str:
    """A raw value as text for readers."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Interval):
        as_text = numbers.signed if unit.startswith("+") else numbers.plus_minus
        return as_text(value, scale=100 if unit.endswith("%") else 1)
    if isinstance(value, float) and isnan(value):
        return ""
    return _number(value, unit) if isinstance(value, int | float) else str(value)


def _number(value: float, unit: Unit) -> str:
    if unit == "":
        return numbers.count(value) if isinstance(value, int) else numbers.plain(value)
    formats = {"%": numbers.percent, "short": numbers.short, "s": numbers.duration, "B": numbers.size}
    formats["p"] = numbers.p_value
    return numbers.count(round(value)) if unit == "n" else formats[unit](value)


def lines(table: Table, look: Look) -> list[str]:
    """The table as lines for a terminal of width `look.width`. Without rows, only title and notes remain."""
    columns = table.on_screen()
    body = [
        [clean(shown(row.get(column.name), column.unit), look.encoding) for column in columns] for row in table.rows
    ]
    heads = [clean(column.title, look.encoding) for column in columns]
    out = prose(table.title, look)
    if body:
        out += _plain(heads, body) if look.plain else _fitted(columns, heads, body, look)
    out += [line for note in (*table.notes, *table.hints) for line in prose(note, look)]
    return out + ([clean(f"next  {table.next}", look.encoding)] if table.next else [])


def prose(text: str, look: Look) -> list[str]:
    """A sentence as lines, wrapped at single spaces; no line for an empty sentence."""
    words = clean(text, look.encoding).split(" ")
    return [line.rstrip(" ") for line in wrap(words, look.width, indent="  ")] if text else []


def _fitted(columns: Sequence[Column], heads: list[str], body: list[list[str]], look: Look) -> list[str]:
    widths = [max(map(cells, column)) for column in zip(heads, *body)]
    in_grid, sentence = _columns_in_grid(widths, look.width), _sentence(columns, widths, look.width)
    if sentence:
        in_grid, widths[-1] = list(range(len(columns))), sentence
    places = [(at, widths[at], columns[at].right) for at in in_grid]
    lines = [_line(heads, places, ["head"] * len(heads), look.color)]
    for row in body:
        meanings = [STATES.get(cell.split(" ")[0]) if column.state else None for column, cell in zip(columns, row)]
        first, *rest = wrap(row[-1].split(" "), sentence) if sentence else [row[-1]]
        lines.append(_line([*row[:-1], first], places, meanings, look.color))
        lines += [" " * (sum(widths[:-1]) + len(GAP) * (len(widths) - 1)) + line for line in rest]
        lines += _below(columns, heads, row, in_grid, look)
    return lines


def _below(columns: Sequence[Column], heads: list[str], row: list[str], in_grid: list[int], look: Look) -> list[str]:
    """Cells that do not fit into the grid, with their names. Only sentences are wrapped."""
    facts: list[str] = []
    for at, cell in enumerate(row):
        if cell and at not in in_grid:
            text = _fact(heads[at], cell)
            facts += wrap(text.split(" "), look.width - 2) if columns[at].wraps else [text]
    return ["  " + line for line in wrap(facts, look.width - 2, between=" · " if _utf(look) else " | ")]


def _sentence(columns: Sequence[Column], widths: Sequence[int], width: int) -> int:
    """The width of a wrapped sentence in the last column; 0 if it needs no wrapping, or if there is too little room."""
    room = width - sum(widths[:-1]) - len(GAP) * (len(widths) - 1)
    return room if columns[-1].wraps and ENOUGH <= room < widths[-1] else 0


def _columns_in_grid(widths: Sequence[int], width: int) -> list[int]:
    """Numbers of the columns in the grid: the first one, then, from the left, each one that still fits."""
    in_grid, used = [0], widths[0]
    for at, wide in enumerate(widths[1:], 1):
        if used + len(GAP) + wide <= width:
            in_grid.append(at)
            used += len(GAP) + wide
    return in_grid


def _line(row: list[str], places: list[tuple[int, int, bool]], meanings: Sequence[Meaning | None], color: bool) -> str:
    last = max((place for place, (at, _, _) in enumerate(places) if row[at]), default=-1)
    parts = []
    for place, (at, width, right) in enumerate(places[: last + 1]):
        room, text = " " * (width - cells(row[at])), paint(row[at], meanings[at] if row[at] else None, color)
        parts.append(room + text if right else text + (room if place < last else ""))
    return GAP.join(parts)


def _plain(heads: list[str], body: list[list[str]]) -> list[str]:
    lines: list[str] = []
    for row in body:
        facts = [_fact(head, cell) for head, cell in zip(heads, row) if cell]
        lines += [facts[0], *("  " + fact for fact in facts[1:])] if facts else []
    return lines


def _fact(head: str, cell: str) -> str:
    return f"{head} {cell}" if head else cell


def _utf(look: Look) -> bool:
    return clean("·", look.encoding) == "·"
