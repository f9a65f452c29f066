"""The display of a running sweep on stderr. On a terminal it is a table that is redrawn in place and fits the window,
with one line for each group of runs that differ only in the seed, and one for each running or failed run. Elsewhere it
is one line for each change."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer_cli.analysis.results import Run
from transfer_cli.report import run_screen
from transfer_cli.report.live.progress_file import read_progress
from transfer_cli.report.live.redraw import Redrawn
from transfer_cli.report.live.run_display import FRAME_S, Clock, Lines
from transfer_cli.report.screen import Screen, terminal
from transfer_cli.report.sweep_table import LEFT, own_words, sweep_lines
from transfer_cli.store.lock import is_held

Row = Mapping[str, Any]
SPARE = 2  # lines of the window that stay free for the text above and for the cursor


class Board:
    """The interface of displays of a sweep, and the silent display (-q). `rows` are the rows of sweep.json."""

    def note(self, text: str) -> None:
        """Shows a sentence that stays visible."""

    def begun(self, rows: Sequence[Row], number: int) -> None:
        """Reports that run `number` has started."""

    def ended(self, rows: Sequence[Row], number: int, results: Run | None) -> None:
        """Reports that run `number` has ended. A failure is shown at once and stays visible."""

    def show(self, rows: Sequence[Row]) -> None:
        """Shows the present rows of sweep.json."""

    def close(self) -> None:
        """Ends the display. The last frame stays, and further output goes below it."""


def board(screen: Screen, name: str, runs: Path) -> Board:
    """The display that suits `screen`."""
    if screen.quiet:
        return Board()
    return Live(screen, name, runs) if terminal(screen.err) and not screen.talk.plain else Changes(screen, runs)


def label(rows: Sequence[Row], number: int) -> str:
    """The words in which a run differs from the other runs of its sweep; all its words if it is the only run."""
    return " ".join(own_words(rows)[number])


class Changes(Board):
    """A display with one line for each change."""

    def __init__(self, screen: Screen, runs: Path) -> None:
        self._lines, self._runs = Lines(screen), runs

    def note(self, text: str) -> None:
        self._lines.note(text)

    def begun(self, rows: Sequence[Row], number: int) -> None:
        self.note(f"{number + 1}/{len(rows)}  {label(rows, number)}  run {rows[number]['id']}")

    def ended(self, rows: Sequence[Row], number: int, results: Run | None) -> None:
        self.note(_ending(rows, number, results, self._runs))


def _ending(rows: Sequence[Row], number: int, results: Run | None, runs: Path) -> str:
    """`3/30  strategy=mcd seed=3  failed [7]  align: non-finite loss at step 212  runs/.../log.txt`."""
    row = rows[number]
    head = f"{number + 1}/{len(rows)}  {label(rows, number)}"
    if row["state"] == "done" and results is not None:
        return f"{head}  {run_screen.scored(results)}"
    fault = f"  {row['fault']}" if row.get("fault") else ""
    return f"{head}  {row['state']} [{row['code']}]{fault}  {runs / row['path']}/log.txt"


class Live(Board):
    """A table that is redrawn in place, at most 4 times a second."""

    def __init__(self, screen: Screen, name: str, runs: Path, clock: Clock = time.monotonic) -> None:
        self._frame, self._name, self._runs, self._clock = Redrawn(screen), name, runs, clock
        self._begun, self._next, self._finished = clock(), clock(), 0
        self._rows: Sequence[Row] = ()

    def note(self, text: str) -> None:
        self._frame.note(text)

    def ended(self, rows: Sequence[Row], number: int, results: Run | None) -> None:
        self._finished += 1
        if rows[number]["state"] != "done":
            self.note(_ending(rows, number, results, self._runs))
        self.show(rows)

    def show(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        if self._clock() >= self._next:
            self._draw(rows)

    def close(self) -> None:
        if self._rows:
            self._draw(self._rows)
        self._frame.close()

    def _draw(self, rows: Sequence[Row]) -> None:
        self._next = self._clock() + FRAME_S
        now = [{**row, **_now(row, self._runs)} for row in rows]
        room = _height() - SPARE
        self._frame.draw(lambda look: sweep_lines(self._name, now, self._left(now), look, room))

    def _left(self, rows: Sequence[Row]) -> float | None:
        """The estimated remaining seconds, at the pace since this terminal joined; None before a run has ended."""
        todo = sum(row["state"] in LEFT for row in rows)
        return (self._clock() - self._begun) / self._finished * todo if self._finished else None


def _now(row: Row, runs: Path) -> dict[str, Any]:
    """The progress of a run that is running according to the ledger; the state `waiting` if it is still queued."""
    if row["state"] != "running":
        return {}
    folder = runs / row["path"]
    return read_progress(folder) if is_held(folder / ".lock") else {"state": "waiting"}


def _height() -> int:
    lines = os.environ.get("LINES", "")
    try:
        return int(lines) if lines.isdigit() and int(lines) else os.get_terminal_size(2).lines
    except OSError:
        return 24
