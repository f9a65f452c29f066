"""HTML and SVG as values. Text becomes markup only in `tag`, which escapes it, so no name, path or note can be left
unescaped. A page refers to nothing outside of itself."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from transfer_cli.report.tables import STATES, Column, Table, shown
from transfer_cli.report.text import clean

VOID = ("br", "img", "meta")
KINDS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg"}


class Html(str):
    """Markup. A plain `str`, in contrast, is text and is escaped."""


Child = Html | str | float | None | Sequence["Child"]


def tag(name: str, /, *children: Child, **attributes: str | float | None) -> Html:
    """An element. Children that are not Html are text; sequences are flattened; None is left out. In names of
    attributes, a trailing `_` is dropped (`class_`) and `_` stands for `-`. Raises ValueError for a reference to the
    outside.

    >>> tag("p", "a < b", tag("b", "c"), class_='x"y')
    '<p class="x&quot;y">a &lt; b<b>c</b></p>'"""
    attribute_text = "".join(_attribute(key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    if name in VOID:
        return Html(f"<{name}{attribute_text}>")
    return Html(f"<{name}{attribute_text}>{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Html:
    """The children, concatenated."""
    return Html("".join(map(_child, children)))


def _child(child: Child) -> str:
    if isinstance(child, Html):
        return child
    if child is None:
        return ""
    return joined(child) if isinstance(child, Sequence) and not isinstance(child, str) else _escaped(child)


def _escaped(value: object) -> str:
    """Escaped text without control or direction characters."""
    return escape("\n".join(map(clean, str(value).split("\n"))), quote=True)


def _attribute(name: str, value: str | float | None) -> str:
    if value is None:
        return ""
    text = str(value)
    inside = {"src": "data:image/", "href": "#"}.get(name)
    if name.startswith("on") or (inside and not text.startswith(inside)):
        raise ValueError(f"{name}={text!r}: a page holds all it shows and runs nothing")
    return f' {name}="{_escaped(text)}"'


def picture(data: bytes, about: str, class_: str | None = None) -> Html:
    """A PNG or JPEG, embedded in the page. Raises ValueError for other bytes."""
    kind = next((kind for start, kind in KINDS.items() if data.startswith(start)), None)
    if kind is None:
        raise ValueError("neither PNG nor JPEG")
    return tag("img", src=f"data:image/{kind};base64,{b64encode(data).decode()}", alt=about, title=about, class_=class_)


def facts(pairs: Mapping[str, Child]) -> Html:
    """A list of names with values; names without a value are left out."""
    entries = [
        tag("div", tag("dt", name), tag("dd", value)) for name, value in pairs.items() if value not in (None, "")
    ]
    return tag("dl", *entries)


def folded(title: str, *inside: Child) -> Html:
    """Content that is hidden below its title until the reader opens it."""
    return tag("details", tag("summary", title), *inside)


def listed(notes: Sequence[str]) -> Html:
    """Notes as a list; nothing without notes."""
    return tag("ul", *(tag("li", note) for note in notes), class_="notes") if notes else Html()


def boxed(table: Table) -> Html:
    """A table with the columns of a screen, in a box that scrolls, with its notes."""
    columns = table.on_screen()
    head = tag("tr", *(tag("th", column.title, class_=_side(column), scope="col") for column in columns))
    body = [tag("tr", *(_cell(row, column) for column in columns)) for row in table.rows]
    inner = tag("table", tag("thead", head), tag("tbody", *body))
    return joined([tag("div", inner, class_="scroll", tabindex=0), listed([*table.notes])])


def _cell(row: Mapping[str, Any], column: Column) -> Html:
    value = row.get(column.name)
    text = value if isinstance(value, Html) else shown(value, column.unit)
    meaning = STATES.get(text.split(" ")[0], "") if column.state else ""
    return tag("td", text, class_=" ".join(filter(None, (_side(column), meaning))) or None)


def _side(column: Column) -> str | None:
    return "right" if column.right else None
