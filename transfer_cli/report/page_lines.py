"""The output of `transfer report` on the page that it wrote: `usps.html  612 kB, one file, opens offline; 30 runs,
6 groups, 11 figures`."""

from pathlib import Path
from typing import Any

from transfer_cli.analysis import numbers
from transfer_cli.report.page.material import Material
from transfer_cli.report.page.page import Page
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.safe import shown

COUNTS = ("runs", "groups", "figures")


def show_page(page: Page, path: Path, material: Material, screen: Screen) -> None:
    """Shows the path and the size of the page, and the parts that are missing."""
    size = len(page.html.encode())
    counts = {"runs": len(material.runs), "groups": len(material.comparison.groups), "figures": page.figures}
    facts: dict[str, Any] = {"path": str(path), "bytes": size, **counts}
    if screen.json:
        screen.answer({"schema": "report/1", **facts, "absent": page.absent})
    elif screen.quiet:
        screen.write(f"{path}\n")
    elif screen.format == "table":
        text = ", ".join(f"{count} {name if count != 1 else name[:-1]}" for name, count in counts.items())
        screen.say(f"{shown(path)}  {numbers.size(size)}, one file, opens offline; {text}")
    else:
        columns = [Column("path"), Column("bytes", only="machine"), *(Column(name, "n") for name in COUNTS)]
        screen.show(Table(columns, [facts], schema="report/1"))
    for name, why in {**page.absent, **material.absent}.items():
        screen.note(f"without {name}: {why}")
