"""What a sweep says while it works, on stderr: on a terminal a table drawn in place, a line a group of runs that differ
in the seed alone and one each for running and failed runs, never taller than the window; elsewhere a line a change."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer_cli.report import screens
from transfer_cli.report.live import Lines
from transfer_cli.report.screen import Screen

Row = Mapping[str, Any]


def label(rows: Sequence[Row], number: int) -> str:
    """The words that tell a run from the others of its sweep; all of a lone one."""
    shared = set(rows[0]["words"]).intersection(*(row["words"] for row in rows))
    own = [word for word in rows[number]["words"] if word not in shared]
    return " ".join(own or rows[number]["words"])


class Board:
    """The interface, and the silent form (-q)."""

    def note(self, text: str) -> None:
        """A sentence that stays in view."""

    def ended(self, rows: Sequence[Row], number: int, results: Mapping[str, Any]) -> None:
        """Run `number` is over: a failure is told at once, and stays in view."""

    def show(self, rows: Sequence[Row]) -> None:
        """The rows of sweep.json as they are now."""

    def close(self) -> None:
        """The last frame stays; what follows goes below it."""


def board(screen: Screen, name: str, runs: Path, jobs: int) -> Board:
    """The form that fits `screen`."""
    if screen.quiet:
        return Board()
    return Changes(screen, runs)


class Changes(Board):
    """A line a change."""

    def __init__(self, screen: Screen, runs: Path) -> None:
        self._lines, self._runs = Lines(screen), runs

    def note(self, text: str) -> None:
        self._lines.note(text)

    def ended(self, rows: Sequence[Row], number: int, results: Mapping[str, Any]) -> None:
        self.note(ending(rows, number, results, self._runs))


def ending(rows: Sequence[Row], number: int, results: Mapping[str, Any], runs: Path) -> str:
    """`3/30  strategy=mcd seed=3  failed [7]  align: non-finite loss at step 212: runs/.../log.txt`."""
    row = rows[number]
    head = f"{number + 1}/{len(rows)}  {label(rows, number)}"
    if row["state"] == "done":
        return f"{head}  {screens.scored(results)}"
    fault = f"  {row['fault']}" if row.get("fault") else ""
    return f"{head}  {row['state']} [{row['code']}]{fault}  {runs / row['path']}/log.txt"
