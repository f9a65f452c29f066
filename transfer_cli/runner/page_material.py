"""Collects the parts of a page that need the data and the nets of the best groups: example rows of mistakes, and
features. The page is complete without them, so a missing part is only noted with its reason."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transfer_cli.analysis.comparison import Comparison, study
from transfer_cli.analysis.results import Run, listing
from transfer_cli.errors import DataError, Fault, TransferError
from transfer_cli.report.compare_table import table
from transfer_cli.report.page.material import SHOWN, Cloud, Clouds, Material
from transfer_cli.report.page.mistakes import confused
from transfer_cli.report.screen import Screen
from transfer_cli.runner.comparing import ask
from transfer_cli.runner.loaded import named_plugins
from transfer_cli.runner.options import Options
from transfer_cli.runner.single_run import quiet_threads
from transfer_cli.safe import safe
from transfer_cli.store.store import Store

if TYPE_CHECKING:
    from transfer_cli.data.dataset import DataSet
    from transfer_cli.engine.feature_views import FeatureViews, NetFeatures

POINTS = 200  # the number of points that are drawn for each side
Sides = Mapping[str, "DataSet"]


def page_material(runs: Sequence[Run], command: str, options: Options, screen: Screen) -> Material:
    """Everything that a page shows; `command` is the command that writes this page."""
    comparison = study(runs, ask(options))
    extras = _Extras(comparison, options, screen)
    return Material(
        comparison,
        table(comparison, lambda: listing(options.runs)),
        runs,
        command,
        extras.attempt("examples", extras.examples),
        extras.attempt("clouds", extras.clouds),
        extras.absent,
    )


class _Extras:
    """Examples and features of the best groups; `absent` holds the reason for each missing part."""

    def __init__(self, comparison: Comparison, options: Options, screen: Screen) -> None:
        self.options, self.screen = options, screen
        self.groups = comparison.done[:SHOWN]
        self.plugins = named_plugins(options.words)
        self.absent: dict[str, str] = {}
        self._opened: dict[str, Sides] = {}

    def attempt(self, what: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The result of `work`; empty if it fails, for example because data or stages have changed. The reason is
        stored in `absent`."""
        try:
            return work()
        except TransferError as error:
            self.absent[what] = error.faults[0].line()
        except Exception as error:  # the page is complete without it
            self.absent[what] = f"{type(error).__name__}: {error}"
        return {}

    def examples(self) -> dict[str, bytes | str]:
        """Example rows of the most frequent mistakes, by name."""
        from transfer_cli.data.examples import examples
        from transfer_cli.kinds._kind import kind_named

        names = {name for group in self.groups for pair in confused(group) for name in pair["rows"]}
        if not names:
            return {}
        run = self.groups[0].counted[0]
        data = self._data(run)["target"]
        return examples(data, kind_named(data.raw.kind, self.plugins), names, run.seed)

    def clouds(self) -> dict[str, Clouds]:
        """Features of the first run of each group, by run id."""
        quiet_threads()
        from transfer_cli.engine.feature_views import FeatureViews

        views = FeatureViews(Store(self.options.runs / ".store", create=False), self._cache, plugins=self.plugins)
        clouds: dict[str, Clouds] = {}
        for group in self.groups:
            run = group.counted[0]
            self.screen.note(f"extracting features of run {safe(run.id)}")
            clouds |= self.attempt("clouds", partial(self._clouds_of, run, views))
        return clouds

    def _clouds_of(self, run: Run, views: "FeatureViews") -> dict[str, Clouds]:
        data = self._data(run)
        if not all(side.raw.has_classes for side in data.values()):
            raise DataError(Fault("features", "a language model has features of characters, not of rows"))
        features = views(run.document["stages"], data, run.seed)
        after = _cloud(features.after, features.classes) if features.after else None
        return {run.id: Clouds(_cloud(features.before, features.classes), after, f"Run {run.id}, training rows.")}

    @property
    def _cache(self) -> Path:
        return self.options.runs / ".cache"

    def _data(self, run: Run) -> Sides:
        """The target and the source of a run. Raises DataError if their content has changed since the run."""
        from transfer_cli.config.compose import load_stored
        from transfer_cli.data.open import describe_pair

        values = load_stored(dict(run.config), self.plugins)
        key = repr((values["data"], values.get("source")))
        if key not in self._opened:
            target, source = describe_pair(values, self._cache)
            self._opened[key] = {"target": target} | ({"source": source} if source else {})
        for side, data in self._opened[key].items():
            if data.fingerprint != run.fingerprints.get(side):
                raise DataError(Fault(data.title, "has changed since the runs were computed"))
        return self._opened[key]


def _cloud(view: "NetFeatures", classes: Mapping[str, Sequence[str]]) -> Cloud:
    points = {
        side: [(x, y, name) for (x, y), name in zip(plane[:POINTS].tolist(), classes[side])]
        for side, plane in view.plane.items()
    }
    held_back = sum(len(part[1::2]) for part in view.features.values())
    return Cloud(points, view.explained, view.accuracy, view.distance, held_back)
