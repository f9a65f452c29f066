"""The options of a group (strategies, models, data ...) as tables, read from the YAML files as text. No YAML parser and
no torch are imported, because listing must be fast."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from transfer_cli.config import folders
from transfer_cli.report.tables import Column, Table

OVERRIDE = re.compile(r"^\s*-\s*(?:override\s+)?/?(?:method@(\w+)|(predictor)@\S+):\s*(\S+)", re.MULTILINE)
SLOTS = ("pretrain", "align", "fine_tune", "predictor")
EXAMPLE = Column("example", only="machine")
WHAT = Column("what", head="", wraps=True)


def options_of_group(group: str, config_dirs: Sequence[Path]) -> Table:
    """The options of a group: their names and the first comment line of their YAML files."""
    names = folders.options(group, config_dirs)
    rows = [{group: name, **_described(group, name, config_dirs)} for name in names]
    word = "fine_tune" if group == "method" else group
    return Table([Column(group), EXAMPLE, WHAT], rows, next=_example(rows, f"{word}="), schema="list/1")


def strategies(config_dirs: Sequence[Path]) -> Table:
    """The strategies with the method that each chooses for every stage, so that users see how to combine them."""
    root = _slots((folders.conf_dir() / folders.ROOT).read_text(encoding="utf-8"))
    rows = []
    for name in folders.options("strategy", config_dirs):
        path = folders.find_option("strategy", name, config_dirs)
        chosen = _slots(path.read_text(encoding="utf-8")) if path else {}
        rows.append({"strategy": name, **root, **chosen, **_described("strategy", name, config_dirs)})
    columns = [Column("strategy"), *(Column(slot) for slot in SLOTS), EXAMPLE, WHAT]
    return Table(columns, rows, next=_example(rows, "strategy="), schema="list/1")


def _slots(text: str) -> dict[str, str]:
    return {method or predictor: name for method, predictor, name in OVERRIDE.findall(text)}


def _described(group: str, name: str, config_dirs: Sequence[Path]) -> dict[str, str]:
    """The first comment line of a YAML file: a description of the option, then, after three spaces, a command."""
    what, _, example = folders.describe_option(group, name, config_dirs).partition("   ")
    return {"what": what, "example": example.strip()}


def _example(rows: Sequence[Mapping[str, str]], word: str) -> str:
    return next((row["example"] for row in rows if word in row["example"]), "")
