"""The runs that a command line means: RUN references name them, words (a query) and --not choose among them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfer_cli.cli.options import Options
from transfer_cli.rundir.query import select
from transfer_cli.rundir.rundir import find, folders, summary


def asked(options: Options) -> list[Path]:
    """Folders of the runs that a command line names, before its query: those of its references; every run where it has
    words or --all and no reference; else the last. Raises ConfigError."""
    if not options.args and (options.words or options.all):
        return folders(options.runs) or find(options.runs)  # which says that there are none yet
    found = [path for ref in options.args or ("last",) for path in find(options.runs, ref)]
    return list(dict.fromkeys(found))


def chosen(options: Options) -> list[dict[str, Any]]:
    """Summaries of the runs that a command line means, oldest start first. Raises ConfigError if none fits."""
    return queried([summary(path) for path in asked(options)], options.words, options.without)


def queried(runs: Sequence[dict[str, Any]], words: Sequence[str], without: Sequence[str]) -> list[dict[str, Any]]:
    """`runs`, or those of them that fit a query."""
    return [dict(run) for run in select(runs, words, without)] if words or without else list(runs)
