"""--watch: shows a table again every two seconds, until Ctrl-C."""

import time
from collections.abc import Callable

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.report.renderers import render
from transfer_cli.report.screen import Screen, terminal
from transfer_cli.report.tables import Table
from transfer_cli.runner.options import Options

EVERY_S = 2.0
CLEARED = "\x1b[H\x1b[2J\x1b[3J"


def shown(options: Options, screen: Screen, make: Callable[[], Table]) -> int:
    """Shows the table that `make` returns, with --watch repeatedly; returns the exit code. Raises ConfigError if
    --watch is given and the output is not a terminal."""
    if not options.watch:
        screen.show(make())
        return 0
    if not terminal(screen.out) or screen.format != "table" or screen.file is not None:
        raise ConfigError(Fault("--watch", "needs a terminal; a pipe or file gets the table once, without it"))
    before = ""
    try:
        while True:
            before = _refresh(screen, make(), before)
            time.sleep(EVERY_S)
    except KeyboardInterrupt:
        return 0


def _refresh(screen: Screen, table: Table, before: str) -> str:
    """Writes the table if it changed and returns its text. --plain appends it, because it never moves the cursor."""
    text = render(table, "table", screen.look)
    if text != before:
        screen.write(text + "\n" if screen.look.plain else CLEARED + text)
    return text
