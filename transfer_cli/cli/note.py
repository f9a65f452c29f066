"""transfer note RUN TEXT: stores a line about a run in its directory; lists and tables of runs show it."""

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.rundir.note import read_note, write_note
from transfer_cli.rundir.runs import find, run_id
from transfer_cli.runner.options import Options


def main(options: Options) -> int:
    """Example: transfer note last 'wrong normalisation'. An empty text removes the note."""
    texts = [*options.args[1:], *options.words]  # a text may look like a word: 'lr=3 is too much'
    if not options.args or len(texts) > 1:
        raise ConfigError(
            Fault("note", "takes a RUN and one text in quotes", do="transfer note last 'as in the paper'")
        )
    folders = find(options.runs, options.args[0])
    for folder in folders if texts else ():
        write_note(folder, texts[0])
    rows = [{"run": run_id(folder), "note": read_note(folder)} for folder in folders]
    Screen.of(options).show(Table([Column("run"), Column("note", wraps=True)], rows, schema="note/1"))
    return 0
