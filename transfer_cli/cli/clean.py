"""transfer clean: lists what no run uses in the store, with its size; -y deletes it."""

from collections.abc import Sequence
from dataclasses import replace

from transfer_cli.analysis.numbers import size
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.runner.options import Options
from transfer_cli.runner.store_cleaning import Item, unused_items

KINDS = {
    "stage": "stages no run uses",
    "quarantine": "quarantined",
    "trash": "in the trash",
    "in use": "in use now, kept",
}


def main(options: Options) -> int:
    """Example: transfer clean -y"""
    if options.words or options.args:
        raise ConfigError(Fault("clean", "takes no words; it shows what no run uses, and deletes that with -y"))
    items = unused_items(options.runs, deleting=options.yes)
    screen, table = Screen.of(options), _table(items, deleted=options.yes)
    # a table on a terminal omits the rows, because the keys mean nothing to a reader
    screen.show(table if options.verbose or screen.format != "table" else replace(table, rows=[]))
    return 0


def _table(items: Sequence[Item], *, deleted: bool) -> Table:
    by_kind = {kind: [item for item in items if item.kind == kind] for kind in KINDS}
    nothing = not any(by_kind[kind] for kind in KINDS if kind != "in use")
    title = "; ".join(_count(kind, some) for kind, some in by_kind.items() if some) or "nothing to clean"
    rows = [{"kind": item.kind, "name": item.path.name, "size": item.bytes} for item in items]
    return Table(
        [Column("kind"), Column("name"), Column("size", "B")],
        rows,
        f"deleted: {title}" if deleted and not nothing else title,
        next="" if deleted or nothing else "transfer clean -y",
        schema="clean/1",
    )


def _count(kind: str, items: Sequence[Item]) -> str:
    """`7 stages no run uses, 1.9 GB`"""
    text = KINDS[kind].replace("stages", "stage" if len(items) == 1 else "stages")
    return f"{len(items)} {text}" + (f", {size(sum(item.bytes for item in items))}" if kind != "in use" else "")
