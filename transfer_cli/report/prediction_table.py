"""Predictions as a table: for people the class with its best probabilities, for machines every probability."""

from collections.abc import Mapping, Sequence
from typing import Any

from transfer_cli.report.tables import Column, Table


def prediction_table(rows: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Table:
    """A row an input. `rows` have path, class, probabilities in the order of `classes`, and error."""
    columns = [
        Column("path"),
        Column("class"),
        Column("likely", only="screen", head=""),
        *(Column(f"p_{name}", only="machine") for name in classes),
        Column("error"),
    ]
    return Table(columns, [_row(row, classes) for row in rows], schema="predict/1")


def _row(row: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    chances = dict(zip(classes, row["probabilities"], strict=False))
    best = sorted(chances.items(), key=lambda pair: -pair[1])[:3]
    likely = "   ".join(f"{name} {100 * chance:.0f} %" for name, chance in best)
    named = {f"p_{name}": chance for name, chance in chances.items()}
    return {"path": row["path"], "class": row["class"], "likely": likely, "error": row["error"], **named}
