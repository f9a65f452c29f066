"""What a sweep says while it works, on stderr: on a terminal a table drawn in place, a line a group of runs that differ
in the seed alone and one each for running and failed runs, never taller than the window; elsewhere a line a change."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer_cli.analysis.results import Run
from transfer_cli.report import run_screen
from transfer_cli.report.live.progress_file import seen
from transfer_cli.report.live.redraw import Redrawn
from transfer_cli.report.live.run_display import FRAME_S, Clock, Lines
from transfer_cli.report.screen import Screen, terminal
from transfer_cli.report.sweep_table import LEFT, own_words, standing
from transfer_cli.store.lock import is_held

Row = Mapping[str, Any]
SPARE = 2  # lines of the window that are left to what stands above and to the cursor


class Board:
    """The interface, and the silent form (-q)."""

    def note(self, text: str) -> None:
        """A sentence that stays in view."""

    def begun(self, rows: Sequence[Row], number: int) -> None:
        """Run `number` begins."""

    def ended(self, rows: Sequence[Row], number: int, results: Run | None) -> None:
        """Run `number` is over: a failure is told at once, and stays in view."""

    def show(self, rows: Sequence[Row]) -> None:
        """The rows of sweep.json as they are now."""

    def close(self) -> None:
        """The last frame stays; what follows goes below it."""


def board(screen: Screen, name: str, runs: Path) -> Board:
    """The form that fits `screen`."""
    if screen.quiet:
        return Board()
    return Live(screen, name, runs) if terminal(screen.err) and not screen.talk.plain else Changes(screen, runs)


def label(rows: Sequence[Row], number: int) -> str:
    """The words that tell a run from the others of its sweep; all of a lone one."""
    return " ".join(own_words(rows)[number])


class Changes(Board):
    """A line a change."""

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
    """A table that is drawn again in place, at most 4 times a second."""

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
        self._frame.draw(lambda look: standing(self._name, now, self._left(now), look, room))

    def _left(self, rows: Sequence[Row]) -> float | None:
        """Seconds, at the pace since this terminal came; None before a run has ended."""
        todo = sum(row["state"] in LEFT for row in rows)
        return (self._clock() - self._begun) / self._finished * todo if self._finished else None


def _now(row: Row, runs: Path) -> dict[str, Any]:
    """What its directory says of a run that the ledger has as running: queued runs are `waiting`."""
    if row["state"] != "running":
        return {}
    folder = runs / row["path"]
    return seen(folder) if is_held(folder / ".lock") else {"state": "waiting"}


def _height() -> int:
    told = os.environ.get("LINES", "")
    try:
        return int(told) if told.isdigit() and int(told) else os.get_terminal_size(2).lines
    except OSError:
        return 24
