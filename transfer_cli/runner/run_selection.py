"""Selects the runs of a command line: RUN references name them; words (a query) and --not filter them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from transfer_cli.analysis.query import select
from transfer_cli.analysis.results import Run, listing, read
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.rundir.rundir import find, folders
from transfer_cli.runner.options import Options


def named_folders(options: Options) -> list[Path]:
    """Folders of the runs that a command line names, before its query is applied: those of its references; without
    references every run if it has words or --all, else the last run. Raises ConfigError if there is none."""
    if not options.args and (options.words or options.all):
        return folders(options.runs) or find(options.runs)  # `find` raises the error that there are no runs yet
    paths = [path for ref in options.args or ("last",) for path in find(options.runs, ref)]
    return list(dict.fromkeys(paths))


def chosen(options: Options) -> list[Run]:
    """The runs that a command line selects, oldest start first. Raises ConfigError if none matches."""
    return queried([read(path) for path in named_folders(options)], options.words, options.without)


def queried(runs: Iterable[Run], words: Sequence[str], without: Sequence[str]) -> list[Run]:
    """The runs that match a query; all of them if there is no query. Raises ConfigError if none matches."""
    return select(list(runs), words, without) if words or without else list(runs)


def one(runs: Path, words: Sequence[str]) -> str:
    """The id of the run that a query selects, or of its sweep. Unfinished runs are preferred to finished ones. Raises
    ConfigError if more than one remains, or if none matches."""
    # if there are no runs at all, `find` raises the error that says so
    matches = select(list(listing(runs))[::-1], words) or [read(path) for path in find(runs)]
    preferred = [run for run in matches if not run.is_done] or matches
    ids = list(dict.fromkeys(run.sweep or run.id for run in preferred))
    if len(ids) > 1:
        raise ConfigError(Fault(" ".join(words), f"means {len(ids)}: {', '.join(ids[-5:])}", do="name one of them"))
    return ids[0]
