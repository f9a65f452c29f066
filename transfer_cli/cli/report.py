"""transfer report RUNS: one HTML page to pass on, with everything in it. Numbers come from what compare reads; examples
and features from the data and nets, where they are still here."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_cli.analysis import numbers
from transfer_cli.analysis.comparison import Comparison, study
from transfer_cli.analysis.results import Run, listing
from transfer_cli.cli.compare import ask, readable
from transfer_cli.cli.options import Options
from transfer_cli.cli.predict import plugins_of
from transfer_cli.errors import ConfigError, DataError, Fault, TransferError
from transfer_cli.report.compare_table import table
from transfer_cli.report.page.material import SHOWN, Cloud, Clouds, Material
from transfer_cli.report.page.mistakes import confused
from transfer_cli.report.page.page import Page, page
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.runner.single_run import quiet_threads
from transfer_cli.safe import safe, shown
from transfer_cli.store.disk import put
from transfer_cli.store.store import Store

if TYPE_CHECKING:
    from transfer_cli.data.dataset import DataSet
    from transfer_cli.engine.feature_views import Seen

POINTS = 200  # of a side, drawn
COUNTS = ("runs", "groups", "figures")
Sides = Mapping[str, "DataSet"]


def main(options: Options) -> int:
    """Example: transfer report last -o usps.html"""
    screen = Screen.of(replace(options, out=None))
    words = tuple(word for word in options.words if not word.startswith("plugins="))
    runs = readable(replace(options, words=words), screen)
    path = _place(options, runs)
    found = study(runs, ask(options))
    seen = Seeing(options, found, screen)
    material = Material(
        found,
        table(found, lambda: listing(options.runs)),
        runs,
        _command(options, runs),
        seen.guarded("examples", seen.examples),
        seen.guarded("clouds", seen.clouds),
        seen.absent,
    )
    made = page(material)
    put(path, made.html.encode())
    _tell(made, path, material, screen)
    return 0


def _command(options: Options, runs: Sequence[Run]) -> str:
    """This page's own; runs that were the last ones today are named by their ids."""
    refs = _ids(runs) if not options.words or any(ref.startswith("last") for ref in options.args) else options.args
    without = [part for word in options.without for part in ("--not", word)]
    return shlex.join(["transfer", "report", *refs, *options.words, *without])


def _ids(runs: Sequence[Run]) -> list[str]:
    """Sweeps stand for their runs."""
    return list(dict.fromkeys(run.sweep or run.id for run in runs))


def _place(options: Options, runs: Sequence[Run]) -> Path:
    """-o, else a name of our own in the working folder. Raises ConfigError for a file that is no page."""
    if options.out is None:
        return Path(f"report-{safe((_ids(runs) or ['none'])[0])}.html")
    if options.out.suffix not in (".html", ".htm"):
        raise ConfigError(Fault("-o", "a page ends in .html", str(options.out), do="transfer report last -o usps.html"))
    return options.out


class Seeing:
    """What only the data and the nets of the best groups can tell; `absent` says why something is not there."""

    def __init__(self, options: Options, found: Comparison, screen: Screen) -> None:
        self.options, self.screen = options, screen
        self.groups = found.done[:SHOWN]
        self.plugins = plugins_of(options.words)
        self.absent: dict[str, str] = {}
        self._opened: dict[str, Sides] = {}

    def guarded(self, what: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `make` gives; nothing, and a reason, where data, stages or packages are not what they were."""
        try:
            return make()
        except TransferError as error:
            self.absent[what] = error.faults[0].line()
        except Exception as error:  # the page holds without it
            self.absent[what] = f"{type(error).__name__}: {error}"
        return {}

    def examples(self) -> dict[str, bytes | str]:
        """Rows that the worst mistakes name."""
        from transfer_cli.data.examples import examples

        names = {name for group in self.groups for pair in confused(group) for name in pair["rows"]}
        if not names:
            return {}
        run = self.groups[0].counted[0]
        return examples(self._data(run)["target"], names, run.seed)

    def clouds(self) -> dict[str, Clouds]:
        """Features of the first run of each group."""
        quiet_threads()
        from transfer_cli.engine.feature_views import FeatureViews

        looking = FeatureViews(Store(self.options.runs / ".store", create=False), self._cache, plugins=self.plugins)
        found = {}
        for group in self.groups:
            run = group.counted[0]
            self.screen.note(f"looking through the nets of run {safe(run.id)}")

            def look(run: Run = run) -> dict[str, Any]:
                data = self._data(run)
                if any(side.raw.task == "language" for side in data.values()):
                    raise DataError(Fault("features", "a model of text has a feature a letter, not a row"))
                return {"seen": looking(run.document["stages"], data, run.seed)}

            if made := self.guarded("clouds", look):
                seen = made["seen"]
                after = seen.after and _cloud(seen.after, seen.classes)
                found[run.id] = Clouds(_cloud(seen.before, seen.classes), after, f"Run {run.id}, training rows.")
        return found

    @property
    def _cache(self) -> Path:
        return self.options.runs / ".cache"

    def _data(self, run: Run) -> Sides:
        """Target and source of a run as they were. Raises DataError where their content has changed."""
        from transfer_cli.config.compose import load_stored
        from transfer_cli.data.open import describe_pair

        values = load_stored(dict(run.config), self.plugins)
        key = repr((values["data"], values.get("source")))
        if key not in self._opened:
            target, source = describe_pair(values, self._cache)
            self._opened[key] = {"target": target} | ({"source": source} if source else {})
        for side, data in self._opened[key].items():
            if data.fingerprint != run.fingerprints.get(side):
                raise DataError(Fault(data.title, "is not what it was when the runs were made"))
        return self._opened[key]


def _cloud(seen: "Seen", classes: Mapping[str, Sequence[str]]) -> Cloud:
    points = {
        side: [(x, y, name) for (x, y), name in zip(plane[:POINTS].tolist(), classes[side])]
        for side, plane in seen.plane.items()
    }
    held = sum(len(part[1::2]) for part in seen.features.values())
    return Cloud(points, seen.explained, seen.accuracy, seen.distance, held)


def _tell(made: Page, path: Path, it: Material, screen: Screen) -> None:
    """`usps.html  612 kB, one file, opens offline; 30 runs, 6 groups, 11 figures`."""
    size = len(made.html.encode())
    facts: dict[str, Any] = {
        "path": str(path),
        "bytes": size,
        "runs": len(it.runs),
        "groups": len(it.found.groups),
        "figures": made.figures,
    }
    if screen.json:
        screen.answer({"schema": "report/1", **facts, "absent": made.absent})
    elif screen.quiet:
        screen.write(f"{path}\n")
    elif screen.format == "table":
        counts = ", ".join(f"{facts[name]} {name if facts[name] != 1 else name[:-1]}" for name in COUNTS)
        screen.say(f"{shown(path)}  {numbers.size(size)}, one file, opens offline; {counts}")
    else:
        columns = [Column("path"), Column("bytes", only="machine"), *(Column(name, "n") for name in COUNTS)]
        screen.show(Table(columns, [facts], schema="report/1"))
    for name, why in {**made.absent, **it.absent}.items():
        screen.note(f"without {name}: {why}")
