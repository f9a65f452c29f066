"""Renders a table as TSV, CSV, Markdown, LaTeX or JSON. TSV, CSV and JSON hold base units in full precision (shares
from 0 to 1, seconds, bytes) and columns `_lo`, `_hi` for ±; Markdown and LaTeX hold what the screen shows."""

import csv
import io
import json
from collections.abc import Mapping
from math import isfinite
from typing import Any, Literal

from transfer_cli.analysis.statistics import Interval, inside
from transfer_cli.report.tables import Column, Look, Table, lines, shown
from transfer_cli.report.text import clean
from transfer_cli.safe import csv_cell

Format = Literal["table", "tsv", "csv", "md", "latex", "json"]
SUFFIXES: dict[str, Format] = {".tsv": "tsv", ".csv": "csv", ".md": "md", ".tex": "latex", ".json": "json"}
MARKDOWN = str.maketrans({letter: f"\\{letter}" for letter in "\\`*[]|"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})
LATEX = str.maketrans(
    {letter: f"\\{letter}" for letter in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$"}
    | {"→": r"$\to$", "×": r"$\times$", "<": r"$<$", ">": r"$>$"}
)


def render(table: Table, format: Format, look: Look | None = None) -> str:
    """The whole text of a table in one format, with its last newline. `look`: the properties of the terminal, for the
    format "table"."""
    if format == "table":
        return "".join(line + "\n" for line in lines(table, look or Look()))
    renderers = {"tsv": _tsv, "csv": _csv, "md": _markdown, "latex": _latex, "json": _json}
    return renderers[format](table)


def document(value: Mapping[str, Any]) -> str:
    """A JSON document. It is ASCII, so it cannot contain control sequences for a terminal; nan and inf become null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False, default=str) + "\n"


def _tsv(table: Table) -> str:
    return "".join("\t".join(line) + "\n" for line in [_names(table.for_machines()), *_records(table)])


def _csv(table: Table) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_names(table.for_machines()), *_records(table)])
    return text.getvalue()


def _names(columns: list[Column]) -> list[str]:
    return [_text(name) for column in columns for name in column.machine]


def _records(table: Table) -> list[list[str]]:
    columns = table.for_machines()
    return [[_field(part) for column in columns for part in _parts(column, row)] for row in table.rows]


def _parts(column: Column, row: Mapping[str, Any]) -> tuple[Any, ...]:
    value = row.get(column.name)
    if not column.interval:
        return (value,)
    if not isinstance(value, Interval):
        return (value, None, None)
    return tuple(inside(value) if column.unit == "%" else value)


def _field(value: Any) -> str:
    """A value in full precision. Only text is protected against being read as a formula, so -0.5 stays a number."""
    if value is None or (isinstance(value, float) and not isfinite(value)):
        return "" if value is None or value != value else str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return _text(value) if isinstance(value, str) else clean(str(value))


def _text(text: str) -> str:
    return str(csv_cell(clean(text)))


def _json(table: Table) -> str:
    columns = table.for_machines(json=True)
    rows = [{name: part for c in columns for name, part in zip(c.machine, _parts(c, row))} for row in table.rows]
    more = {name: value for name, value in (("hints", list(table.hints)), ("next", table.next)) if value}
    head = {"schema": table.schema, "title": table.title, "rows": rows, "notes": list(table.notes)}
    return document({**head, **more, **table.extra})


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def _markdown(table: Table) -> str:
    columns = table.on_screen()
    grid = [[markdown(column.title) for column in columns], ["--:" if column.right else ":--" for column in columns]]
    grid += [[markdown(shown(row.get(c.name), c.unit)) for c in columns] for row in table.rows]
    caption = [markdown(text) for text in (table.title, *table.notes) if text]
    body = "".join("| " + " | ".join(line) + " |\n" for line in grid)
    return body + ("\n" + "  \n".join(caption) + "\n" if caption else "")


def markdown(text: str) -> str:
    """Text with Markdown's special characters escaped."""
    return clean(text).translate(MARKDOWN)


def _latex(table: Table) -> str:
    columns = table.on_screen()
    grid = [[latex(shown(row.get(c.name), c.unit)) for c in columns] for row in table.rows]
    caption = " ".join(latex(text).rstrip(".") + "." for text in (table.title, *table.notes) if text)
    ends = " \\\\\n"
    return (
        "% \\usepackage{booktabs}\n\\begin{table}\n\\centering\n"
        + (f"\\caption{{{caption}}}\n" if caption else "")
        + f"\\begin{{tabular}}{{{''.join('r' if column.right else 'l' for column in columns)}}}\n\\toprule\n"
        + " & ".join(latex(column.title) for column in columns)
        + ends
        + "\\midrule\n"
        + "".join(" & ".join(line) + ends for line in grid)
        + "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


def latex(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return clean(text).translate(LATEX)
