"""The two output streams of a command: the answer goes to stdout, messages go to stderr. Each stream is checked on its
own for being a terminal, because a library may treat a pipe as a terminal if FORCE_COLOR is set."""

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO, cast

from transfer_cli.errors import Fault, StoreError
from transfer_cli.report.renderers import SUFFIXES, Format, document, render
from transfer_cli.report.tables import Look, Table, lines, prose
from transfer_cli.report.text import clean


class OutputOptions(Protocol):
    """The options of a command line that decide the output."""

    @property
    def json(self) -> bool: ...
    @property
    def format(self) -> Any: ...
    @property
    def out(self) -> Path | None: ...
    @property
    def quiet(self) -> bool: ...
    @property
    def verbose(self) -> bool: ...
    @property
    def color(self) -> str: ...
    @property
    def plain(self) -> bool: ...


class MessageStream:
    """A stream for messages. If its reader has closed it (`2>&1 | head -1`), output is dropped and the work
    continues."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
        except (OSError, ValueError):
            # the rest of its buffer would fail again when the process exits, and would change the exit code
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@dataclass(frozen=True)
class Screen:
    """The format of the answer, and the two streams. `look` and `talk`: the properties of stdout and stderr; `file`:
    the answer is written there instead of stdout."""

    out: TextIO
    err: TextIO
    format: Format = "table"
    look: Look = field(default_factory=Look)
    talk: Look = field(default_factory=Look)
    quiet: bool = False
    verbose: bool = False
    file: Path | None = None

    @classmethod
    def of(cls, options: OutputOptions, out: TextIO | None = None, err: TextIO | None = None) -> "Screen":
        """The screen that the options describe. The format is that of --json, of --format or of the suffix of -o FILE;
        else a table on a terminal, and TSV in a pipe or file."""
        out, err = out or sys.stdout, cast(TextIO, MessageStream(err or sys.stderr))
        quiet, verbose, file = options.quiet, options.verbose, options.out
        format = _format(options, out)
        look = look_of(out, options.color, options.plain) if file is None else Look()
        return cls(out, err, format, look, look_of(err, options.color, options.plain), quiet, verbose, file)

    @property
    def json(self) -> bool:
        return self.format == "json"

    def show(self, table: Table, *below: Table) -> None:
        """Writes a table as the answer, in one piece. TSV and CSV have no place for notes and for the tables `below`,
        so these go to stderr. A JSON document already holds them."""
        several = self.format in ("table", "md", "latex")
        self.write("".join(render(part, self.format, self.look) for part in (table, *(below if several else ()))))
        for part in () if several or self.json else below:
            self.note_table(part)
        if self.format in ("tsv", "csv"):
            for text in (table.title, *table.notes, *table.hints):
                self.note(text)

    def answer(self, value: Mapping[str, Any]) -> None:
        """Writes a JSON document as the answer."""
        self.write(document(value))

    def say(self, text: str) -> None:
        """Writes a sentence of the answer: to stdout if the format is a table, else to stderr."""
        if self.format == "table" and self.file is None:
            self.write("".join(line + "\n" for line in prose(text, self.look)))
        else:
            self.note(text)

    def note(self, text: str) -> None:
        """Writes a message to stderr; silent with -q."""
        if text and not self.quiet:
            self.err.write("".join(line + "\n" for line in prose(text, self.talk)))
            self.err.flush()

    def note_table(self, table: Table) -> None:
        """Writes a table to stderr; silent with -q."""
        if not self.quiet:
            self.err.write("".join(line + "\n" for line in lines(table, self.talk)))
            self.err.flush()

    def command(self, text: str) -> None:
        """Writes `next  ...`: a command for copy and paste, which is never wrapped."""
        if not self.quiet:
            stream, look = (
                (self.out, self.look) if self.format == "table" and self.file is None else (self.err, self.talk)
            )
            stream.write(clean(f"next  {text}", look.encoding) + "\n")

    def write(self, text: str) -> None:
        """Writes raw text as the answer, to stdout or to the file. Raises StoreError if the file cannot be written."""
        if self.file is None:
            self.out.write(text)
            self.out.flush()
            return
        try:
            self.file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise StoreError(Fault("-o", f"cannot be written: {error.strerror}", value=str(self.file))) from error
        self.note(f"written: {self.file}")


def _format(options: OutputOptions, out: TextIO) -> Format:
    if options.json:
        return "json"
    if options.format:
        return options.format  # type: ignore[no-any-return]
    if options.out is not None:
        return SUFFIXES.get(options.out.suffix.lower(), "tsv")
    return "table" if terminal(out) else "tsv"


def terminal(stream: TextIO) -> bool:
    """Whether this stream is a terminal; False for a closed stream."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def look_of(stream: TextIO, color: str = "auto", plain: bool = False) -> Look:
    """Width, encoding and colour of a stream. Colour is decided by --color, then NO_COLOR, then TERM=dumb, then by
    whether the stream is a terminal."""
    dumb = os.environ.get("TERM") == "dumb"
    bright = terminal(stream) and not dumb and not os.environ.get("NO_COLOR")
    colored = color == "always" or (color != "never" and bright and not plain)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return Look(max(40, columns(stream)), encoding, colored, plain or (dumb and terminal(stream)))


def columns(stream: TextIO) -> int:
    """The width in cells: COLUMNS, else the width of the terminal, else 80."""
    setting = os.environ.get("COLUMNS", "")
    if setting.isdigit() and int(setting) > 0:
        return int(setting)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80
