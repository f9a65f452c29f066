"""Lines that are redrawn in place on a terminal; permanent notes are printed above them. rich moves the cursor; this
package decides the content and the width of the lines."""

from collections.abc import Callable

from transfer_cli.report.screen import Screen, look_of
from transfer_cli.report.tables import Look
from transfer_cli.report.text import clean


class Redrawn:
    """The redrawn lines at the lower end of a terminal. Nothing is written before the first `draw`."""

    def __init__(self, screen: Screen) -> None:
        from rich.console import Console
        from rich.live import Live

        self._err, self.look = screen.err, screen.talk
        self._console = Console(
            file=screen.err,
            force_terminal=True,
            markup=False,
            emoji=False,
            highlight=False,
            no_color=not self.look.color,
        )
        self._frame = Live(console=self._console, auto_refresh=False, redirect_stdout=False)

    def draw(self, lines: Callable[[Look], list[str]]) -> None:
        """Draws the lines for the present width of the terminal."""
        from rich.text import Text

        look = Look(look_of(self._err).width, self.look.encoding, self.look.color)
        self._console.width = look.width
        if not self._frame.is_started:
            self._frame.start()
        self._frame.update(Text.from_ansi("\n".join(lines(look))), refresh=True)

    def note(self, text: str) -> None:
        self._console.print(clean(text, self.look.encoding), soft_wrap=True)

    def close(self) -> None:
        """Stops redrawing. The last frame stays, and further output goes below it."""
        if self._frame.is_started:
            self._frame.stop()

    @property
    def started(self) -> bool:
        return bool(self._frame.is_started)
