"""Predictions as a table. The scoring of the task names the columns and whether a column is for screens, for machine
formats, or for both."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from transfer_cli.report.tables import Column, Table


class Named(Protocol):
    """A column of answers. `only`: "screen" or "machine", empty for both; `head`: the heading on a screen, None for the
    name."""

    @property
    def name(self) -> str: ...
    @property
    def only(self) -> str: ...
    @property
    def head(self) -> str | None: ...


def prediction_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Named]) -> Table:
    """One row for each input, with `path`, the named columns, and `error`."""
    shown = [Column(one.name, only=one.only or None, head=one.head) for one in columns]  # type: ignore[arg-type]
    blank = {one.name: "" for one in columns}
    return Table([Column("path"), *shown, Column("error")], [blank | dict(row) for row in rows], schema="predict/1")
