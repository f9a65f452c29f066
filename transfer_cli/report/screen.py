"""Where a command's answer and talk go. stdout is the answer, stderr the talk; each is asked itself whether it is
a terminal: FORCE_COLOR and the like would make a library take a pipe for one."""

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


class Wishes(Protocol):
    """What of the command line decides the output."""

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


class Tolerant:
    """A stream for talk. Once nobody reads it (`2>&1 | head -1`) it falls silent, and the work goes on."""

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
            # what is left in its buffer would fail once more when the process ends, and change the exit code
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@dataclass(frozen=True)
class Screen:
    """The face of the answer, and the two streams. `file`: the answer goes there instead."""

    out: TextIO
    err: TextIO
    format: Format = "table"
    look: Look = field(default_factory=Look)
    talk: Look = field(default_factory=Look)
    quiet: bool = False
    verbose: bool = False
    file: Path | None = None

    @classmethod
    def of(cls, wishes: Wishes, out: TextIO | None = None, err: TextIO | None = None) -> "Screen":
        """--json, --format, the ending of -o FILE, else a table on a terminal and TSV in a pipe or file."""
        out, err = out or sys.stdout, cast(TextIO, Tolerant(err or sys.stderr))
        quiet, verbose, file = wishes.quiet, wishes.verbose, wishes.out
        face = _format(wishes, out)
        look = look_of(out, wishes.color, wishes.plain) if file is None else Look()
        return cls(out, err, face, look, look_of(err, wishes.color, wishes.plain), quiet, verbose, file)

    @property
    def json(self) -> bool:
        return self.format == "json"

    def show(self, table: Table, *below: Table) -> None:
        """The answer, written in one piece. What a machine's face has no place for goes to stderr: notes, and the
        tables `below` (of a JSON document they are part already)."""
        several = self.format in ("table", "md", "latex")
        self.write("".join(render(part, self.format, self.look) for part in (table, *(below if several else ()))))
        for part in () if several or self.json else below:
            self.tell(part)
        if self.format in ("tsv", "csv"):
            for text in (table.title, *table.notes, *table.hints):
                self.note(text)

    def answer(self, value: Mapping[str, Any]) -> None:
        """A JSON document as the answer."""
        self.write(document(value))

    def say(self, text: str) -> None:
        """A sentence of the answer: on stdout beside a table, else on stderr."""
        if self.format == "table" and self.file is None:
            self.write("".join(line + "\n" for line in prose(text, self.look)))
        else:
            self.note(text)

    def note(self, text: str) -> None:
        """Talk: stderr, silent with -q."""
        if text and not self.quiet:
            self.err.write("".join(line + "\n" for line in prose(text, self.talk)))
            self.err.flush()

    def tell(self, table: Table) -> None:
        """A table as talk."""
        if not self.quiet:
            self.err.write("".join(line + "\n" for line in lines(table, self.talk)))
            self.err.flush()

    def command(self, text: str) -> None:
        """`next  ...`: a command to paste, never broken."""
        if not self.quiet:
            stream, look = (
                (self.out, self.look) if self.format == "table" and self.file is None else (self.err, self.talk)
            )
            stream.write(clean(f"next  {text}", look.encoding) + "\n")

    def write(self, text: str) -> None:
        """Raw text to the answer's place. Raises StoreError if the file cannot be written."""
        if self.file is None:
            self.out.write(text)
            self.out.flush()
            return
        try:
            self.file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise StoreError(Fault("-o", f"cannot be written: {error.strerror}", value=str(self.file))) from error
        self.note(f"written: {self.file}")


def _format(wishes: Wishes, out: TextIO) -> Format:
    if wishes.json:
        return "json"
    if wishes.format:
        return wishes.format  # type: ignore[no-any-return]
    if wishes.out is not None:
        return SUFFIXES.get(wishes.out.suffix.lower(), "tsv")
    return "table" if terminal(out) else "tsv"


def terminal(stream: TextIO) -> bool:
    """Is this very stream a terminal? A closed one is none."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def look_of(stream: TextIO, color: str = "auto", plain: bool = False) -> Look:
    """Width, encoding and colour of a stream: --color, then NO_COLOR, then TERM=dumb, then is it a terminal."""
    dumb = os.environ.get("TERM") == "dumb"
    bright = terminal(stream) and not dumb and not os.environ.get("NO_COLOR")
    colored = color == "always" or (color != "never" and bright and not plain)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return Look(max(40, columns(stream)), encoding, colored, plain or (dumb and terminal(stream)))


def columns(stream: TextIO) -> int:
    """COLUMNS, else the terminal's width, else 80."""
    told = os.environ.get("COLUMNS", "")
    if told.isdigit() and int(told) > 0:
        return int(told)
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError, AttributeError):
        return 80
