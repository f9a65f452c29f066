"""The runs that a command line means: RUN references name them, words (a query) and --not choose among them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from transfer_cli.analysis.query import select
from transfer_cli.analysis.results import Run, listing, read
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.rundir.rundir import find, folders
from transfer_cli.runner.options import Options


def asked(options: Options) -> list[Path]:
    """Folders of the runs that a command line names, before its query: those of its references; every run where it has
    words or --all and no reference; else the last. Raises ConfigError."""
    if not options.args and (options.words or options.all):
        return folders(options.runs) or find(options.runs)  # which says that there are none yet
    found = [path for ref in options.args or ("last",) for path in find(options.runs, ref)]
    return list(dict.fromkeys(found))


def chosen(options: Options) -> list[Run]:
    """The runs that a command line means, oldest start first. Raises ConfigError if none fits."""
    return queried([read(path) for path in asked(options)], options.words, options.without)


def queried(runs: Iterable[Run], words: Sequence[str], without: Sequence[str]) -> list[Run]:
    """`runs`, or those of them that fit a query."""
    return select(list(runs), words, without) if words or without else list(runs)


def one(runs: Path, words: Sequence[str]) -> str:
    """Id of the run that a query means, or of its sweep; of several the unfinished one. Raises ConfigError if there
    are more."""
    fitting = select(list(listing(runs))[::-1], words) or [read(path) for path in find(runs)]  # which says: none yet
    left = [run for run in fitting if not run.is_done] or fitting
    ids = list(dict.fromkeys(run.sweep or run.id for run in left))
    if len(ids) > 1:
        raise ConfigError(Fault(" ".join(words), f"means {len(ids)}: {', '.join(ids[-5:])}", do="name one of them"))
    return ids[0]
