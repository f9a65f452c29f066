"""transfer report RUNS: writes one self-contained HTML page. Its numbers come from the same files as those of compare;
example rows and features come from the data and the nets, if these still exist."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from transfer_cli.analysis.results import Run
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.report.page.page import page
from transfer_cli.report.page_lines import show_page
from transfer_cli.report.screen import Screen
from transfer_cli.runner.comparing import comparable_runs
from transfer_cli.runner.options import Options
from transfer_cli.runner.page_material import page_material
from transfer_cli.safe import safe
from transfer_cli.store.disk import put


def main(options: Options) -> int:
    """Example: transfer report last -o usps.html"""
    screen = Screen.of(replace(options, out=None))
    query = tuple(word for word in options.words if not word.startswith("plugins="))
    runs = comparable_runs(replace(options, words=query), screen)
    path = _place(options, runs)
    material = page_material(runs, _command(options, runs), options, screen)
    written = page(material)
    put(path, written.html.encode())
    show_page(written, path, material, screen)
    return 0


def _command(options: Options, runs: Sequence[Run]) -> str:
    """The command that writes this page again. References that change with time, such as `last`, are replaced by
    ids."""
    refs = _ids(runs) if not options.words or any(ref.startswith("last") for ref in options.args) else options.args
    without = [part for word in options.without for part in ("--not", word)]
    return shlex.join(["transfer", "report", *refs, *options.words, *without])


def _ids(runs: Sequence[Run]) -> list[str]:
    """Ids of the runs; runs of a sweep are replaced by the id of the sweep."""
    return list(dict.fromkeys(run.sweep or run.id for run in runs))


def _place(options: Options, runs: Sequence[Run]) -> Path:
    """Path of the page: -o, else a default name in the working folder. Raises ConfigError if the suffix is not
    .html."""
    if options.out is None:
        return Path(f"report-{safe((_ids(runs) or ['none'])[0])}.html")
    if options.out.suffix not in (".html", ".htm"):
        raise ConfigError(Fault("-o", "a page ends in .html", str(options.out), do="transfer report last -o usps.html"))
    return options.out
