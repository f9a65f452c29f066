"""A note on a run: one line that a user wrote, stored in `note.txt` of the run's directory."""

from contextlib import suppress
from pathlib import Path

from transfer_cli.errors import ConfigError, Fault, TransferError
from transfer_cli.safe import safe
from transfer_cli.store.disk import put, read_file
from transfer_cli.store.diskerrors import explained

FILE = "note.txt"
LONGEST = 500


def read_note(folder: Path) -> str:
    """The note of a run; empty if there is none or if it cannot be read."""
    with suppress(FileNotFoundError, NotADirectoryError, TransferError):
        return safe(" ".join(read_file(folder / FILE).decode("utf-8", "replace").split()))[:LONGEST]
    return ""


def write_note(folder: Path, text: str) -> None:
    """Replaces the note; an empty text removes it. Raises ConfigError if the text is longer than 500 characters,
    StoreError or ResourceError if it cannot be written."""
    text = safe(" ".join(text.split()))
    if len(text) > LONGEST:
        raise ConfigError(Fault("note", f"{len(text):,} characters, at most {LONGEST}"))
    if text:
        put(folder / FILE, f"{text}\n".encode("utf-8", "replace"))
        return
    with explained(folder / FILE):
        (folder / FILE).unlink(missing_ok=True)
