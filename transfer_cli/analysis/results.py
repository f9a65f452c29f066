"""Runs and sweeps as values: results.json and sweep.json, read once. Everything downstream sees these types; only this
file knows how the documents spell a metric (`test/accuracy`, `test/accuracy_ci95`) and what older ones left out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from math import nan
from pathlib import Path
from typing import Any, Self

from transfer_cli import legacy_measures
from transfer_cli.analysis.statistics import Interval, inside, wilson
from transfer_cli.measures import Measure
from transfer_cli.rundir.runs import UNREADABLE, folders, summary

Json = Mapping[str, Any]
PARTS = ("test/", "val/")  # of the target that an evaluation scores
SIDES = ("source_val", "target_val", "source", "target", "oracle")  # `target_val/accuracy`: a column of validation
HALF = "_ci95"  # ends the name of half an interval
STEP = "step"  # stands among the metrics of a rule: at which step its snapshot was taken
MARK = "at_"  # begins the name of a net that was handed on at a step


def bare(name: str) -> str:
    """`test/accuracy`, `val/accuracy` -> `accuracy`."""
    return name.removeprefix("test/").removeprefix("val/")


@lru_cache(maxsize=1024)
def _labelled(measure: Measure, name: str) -> Measure:
    return replace(measure, label=name)


def measure_in(measures: Mapping[str, Measure], name: str, other: Measure = legacy_measures.OTHER) -> Measure:
    """The measure of a metric by its bare name, its label filled in. `f1/cat` has the measure of its family f1 and
    `target_val/accuracy` that of accuracy, under their own names. `other`: of one that nobody declared."""
    if found := measures.get(name):
        return found if found.label else _labelled(found, name)
    first, _, rest = name.partition("/")
    if first in SIDES and rest:
        return _labelled(measure_in(measures, rest, other), name)
    return _labelled(measures.get(first, other), name)


def watched_of(measures: Mapping[str, Measure]) -> list[str]:
    """Names of the metrics shown at each validation, the primary first."""
    watched = [name for name, measure in measures.items() if measure.watched]
    return sorted(watched, key=lambda name: not measures[name].primary)


def legacy_measure(name: str) -> Measure:
    """The measure of a metric where no run is at hand to declare it."""
    return measure_in(legacy_measures.MEASURES, bare(name))


@dataclass(frozen=True)
class Metric:
    """A score of a run. `name`: bare, `accuracy`, of one class `recall/cat`. `lo`, `hi`: ends of its 95 % interval, nan
    without one. `n`: rows or draws it is of. `grain`: the step in which it moves, 1 / n of a share of right rows, else
    0."""

    name: str
    value: float
    lo: float
    hi: float
    n: int
    measure: Measure
    grain: float = 0.0

    @property
    def unit(self) -> str:
        return self.measure.unit

    @property
    def lower_is_better(self) -> bool:
        return self.measure.lower_is_better

    @property
    def half(self) -> float:
        """Half of the interval; nan without one."""
        return (self.hi - self.lo) / 2

    @property
    def overall(self) -> bool:
        """Of all classes together, not of one."""
        return "/" not in self.name

    @property
    def interval(self) -> Interval:
        """Value and ends; those of a share are kept in 0..1."""
        found = Interval(self.value, self.lo, self.hi)
        return inside(found) if self.measure.is_share else found


Scores = Mapping[str, Metric]  # by bare name


@dataclass(frozen=True)
class Headline:
    """What a run is compared by. `over`: what its interval is over, `test pictures` or `draws of 5-way 1-shot`."""

    metric: Metric
    rule: str
    over: str

    @property
    def over_rows(self) -> bool:
        return self.over.startswith(("test ", "val "))

    @property
    def over_draws(self) -> bool:
        return self.over.startswith("draws")


@dataclass(frozen=True)
class Stage:
    """A stage of a run; `key` is empty where the slot has no method. `size` in bytes."""

    name: str
    key: str
    method: str = ""
    what: str = ""
    rule: str = ""
    state: str = ""
    cached: bool = False
    seconds: float = 0.0
    size: int | None = None


def mark_of(net: str) -> int | None:
    """The number of the mark at which a net was handed on, 3 of `at_3`; None for a selection rule."""
    number = net.removeprefix(MARK)
    return int(number) if net.startswith(MARK) and number.isdecimal() and number.isascii() else None


@dataclass(frozen=True)
class View:
    """One net scored on one view of the test rows. `net`: a selection rule, or `at_3`, the third mark."""

    net: str
    view: str
    task: str
    metric: Metric


@dataclass(frozen=True)
class Run:
    """A run as its results.json tells it. `fault`: why it failed, or why the document cannot be read; such a run has an
    id, a path and nothing else. `config`: the settings, a tree. `cost`: by name, only what is known. `domains`: how far
    apart source and target lie, before and after. `document`: the whole checked document, for machines."""

    id: str
    status: str
    name: str = ""
    path: Path | None = None
    code: int | None = None
    started: str = ""
    sweep: str = ""
    note: str = ""
    fault: str = ""
    judge: str = ""
    words: tuple[str, ...] = ()
    choices: Mapping[str, str] = field(default_factory=dict)
    config: Json = field(default_factory=dict)
    stages: tuple[Stage, ...] = ()
    cost: Mapping[str, float] = field(default_factory=dict)
    fingerprints: Json = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    document: Json = field(default_factory=dict)

    @classmethod
    def of(cls, found: Json) -> Self:
        """Of a document that `rundir.schema` has checked, as `rundir.runs.summary` gives it."""
        return cls(
            found["id"],
            found["status"],
            found.get("name") or "",
            Path(found["path"]) if found.get("path") else None,
            found.get("code"),
            found.get("started") or "",
            found.get("sweep") or "",
            found.get("note") or "",
            found.get("fault") or found.get("error") or "",
            found.get("judge") or "",
            tuple(found["words"]),
            found["choices"],
            found["config"],
            tuple(map(_stage, found["stages"])),
            {name: value for name, value in found["cost"].items() if value is not None},
            found.get("fingerprints") or {},
            tuple(found.get("notes") or ()),
            found,
        )

    @property
    def is_readable(self) -> bool:
        """Whether its settings are known: false of a run that is unreadable, or died before it wrote them."""
        return self.status != UNREADABLE and bool(self.config)

    @property
    def is_done(self) -> bool:
        return self.status == "done"

    @property
    def seed(self) -> int:
        return int(self.config.get("seed", 0))

    @property
    def versions(self) -> Mapping[str, str]:
        return self.document.get("versions") or {}

    @property
    def identity(self) -> Json:
        """The class of machines and versions inside which results are equal bit by bit."""
        return self.document.get("identity") or {}

    @property
    def domains(self) -> Mapping[str, Mapping[str, float]]:
        return self.document.get("domains") or {}

    def setting(self, key: str) -> Any:
        """The value of a dotted key; None where there is none."""
        value: Any = self.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    @cached_property
    def measures(self) -> Mapping[str, Measure]:
        """Of its metrics by bare name, in the order of tables; of an older run those of the legacy table."""
        declared = self.document.get("measures")
        return {name: _measure(entry) for name, entry in declared.items()} if declared else legacy_measures.MEASURES

    @property
    def watched(self) -> list[str]:
        """Names of the metrics shown at each validation."""
        return watched_of(self.measures)

    def measure(self, name: str) -> Measure:
        """Of one metric by its bare name."""
        declares = self.measures is not legacy_measures.MEASURES
        return measure_in(self.measures, name, Measure(shown=False) if declares else legacy_measures.OTHER)

    @cached_property
    def headline(self) -> Headline | None:
        head = self.document.get("headline")
        if not head:
            return None
        metric = self._metric(head["name"], head["rule"], head["value"])
        return Headline(metric, head["rule"], head.get("over") or "")

    @property
    def rule(self) -> str:
        """The rule of its headline; empty without one."""
        return str((self.document.get("headline") or {}).get("rule", ""))

    @property
    def rules(self) -> list[str]:
        """The selection rules it was scored by."""
        return [net for net in self.document["metrics"] if mark_of(net) is None]

    @property
    def marks(self) -> list[str]:
        """The nets it was scored by that were handed on at a mark, in order."""
        nets = [*self.document["metrics"], *(view.net for view in self.views)]
        return sorted({net for net in nets if mark_of(net) is not None}, key=lambda net: mark_of(net) or 0)

    def metric(self, name: str, rule: str = "") -> Metric | None:
        """A metric by its bare name and a rule, its headline's if none is asked for."""
        found = self.document["metrics"].get(rule or self.rule, {})
        full = next((full for full in (self.part + name, name) if full in found), None)
        return None if full is None else self._metric(full, rule or self.rule, found[full])

    def names(self, rule: str = "") -> list[str]:
        """Bare names of the metrics of a rule."""
        found = self.document["metrics"].get(rule or self.rule, {})
        return [bare(name) for name in found if name.startswith(PARTS) and not name.endswith(HALF)]

    def scores(self, rule: str = "") -> Scores:
        """All metrics of a rule."""
        return {name: metric for name in self.names(rule) if (metric := self.metric(name, rule)) is not None}

    def step(self, rule: str) -> int | None:
        """At which step the snapshot of a rule was taken."""
        step = self.document["metrics"].get(rule, {}).get(STEP)
        return None if step is None else int(step)

    @property
    def part(self) -> str:
        """`test/` or `val/`: which part of the target was scored."""
        name = (self.document.get("headline") or {}).get("name", "")
        return next((part for part in PARTS if name.startswith(part)), PARTS[0])

    @cached_property
    def views(self) -> tuple[View, ...]:
        return tuple(map(self._view, self.document.get("views") or ()))

    def _view(self, row: Json) -> View:
        low, high = row.get("lo"), row.get("hi")
        ends = (nan if low is None else low, nan if high is None else high)
        name = bare(row["metric"])
        metric = Metric(name, row["value"], *ends, row.get("n") or 0, self.measure(name))
        return View(row["net"], row["view"], row.get("task") or "", metric)

    def _metric(self, full: str, rule: str, value: float) -> Metric:
        """The interval that the run states; else half of one on both sides, or Wilson's of a share of right rows."""
        head, name = self.document.get("headline") or {}, bare(full)
        n, measure = head.get("n") or 0, self.measure(name)
        ends = (self.document.get("intervals") or {}).get(rule, {}).get(full)
        half = self.document["metrics"].get(rule, {}).get(full + HALF)
        if half is None and full == head.get("name") and rule == head["rule"]:
            half = head.get("ci95")
        rows = n > 0 and (head.get("over") or "").startswith(PARTS_OVER) and measure.is_share
        of_right = rows and name in legacy_measures.OF_RIGHT_ROWS
        whole = rows and abs(value * n - round(value * n)) < 1e-6 * n**0.5
        if ends:
            low, high = ends
        elif half is not None and of_right and 0 <= value <= 1:
            _, low, high = wilson(value, n)
        else:
            low, high = (nan, nan) if half is None else (value - half, value + half)
        return Metric(name, value, low, high, n, measure, 1 / n if of_right or (ends and whole) else 0.0)


PARTS_OVER = ("test ", "val ")  # how the interval of a share of rows says what it is over


def _stage(found: Json) -> Stage:
    return Stage(
        found["name"],
        found["key"] or "",
        found.get("method") or "",
        found.get("what") or "",
        found.get("rule") or "",
        found.get("state") or "",
        bool(found.get("cached")),
        found.get("seconds") or 0.0,
        found.get("bytes"),
    )


KNOWN = tuple(Measure.__dataclass_fields__)


def _measure(entry: Json) -> Measure:
    return Measure(**{name: entry[name] for name in KNOWN if name in entry})


@dataclass(frozen=True)
class SweepRow:
    """A run of a sweep as the ledger tells it; `path` below the runs folder, empty before it began."""

    words: tuple[str, ...]
    state: str
    path: str = ""
    id: str = ""
    code: int | None = None
    fault: str = ""
    score: Metric | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep as its sweep.json tells it; `fault`: why that cannot be read."""

    id: str
    status: str
    path: Path
    code: int | None
    started: str
    words: tuple[str, ...]
    rows: tuple[SweepRow, ...]
    fault: str = ""

    @classmethod
    def of(cls, found: Json) -> Self:
        """Of a document that `rundir.schema` has checked."""
        return cls(
            found["id"],
            found["status"],
            Path(found["path"]),
            found.get("code"),
            found.get("started") or "",
            tuple(found["words"]),
            tuple(map(row_of, found.get("runs") or ())),
            found.get("fault") or "",
        )


def row_of(found: Json) -> SweepRow:
    """A row of sweep.json."""
    return SweepRow(
        tuple(found["words"]),
        found["state"],
        found.get("path") or "",
        found.get("id") or "",
        found.get("code"),
        found.get("fault") or "",
        score_of(found),
    )


def score_of(row: Json) -> Metric | None:
    """The headline of a row of sweep.json, with the measure it declares."""
    head = row.get("headline")
    if not head:
        return None
    declared = {"measures": {bare(head["name"]): row["measure"]}} if row.get("measure") else {}
    lone = {"id": "", "status": "", "words": (), "choices": {}, "config": {}, "stages": (), "cost": {}, **declared}
    found = Run.of({**lone, "headline": head, "metrics": {}}).headline
    return found.metric if found else None


def read(folder: Path) -> Run:
    """The run in a directory. A document that is not what it should be gives a run with the status `unreadable`."""
    return Run.of(summary(folder))


def listing(runs: Path, limit: int | None = None) -> Iterator[Run]:
    """Every run of a runs folder, newest start first; `limit` reads no more than so many."""
    return map(read, folders(runs)[::-1][:limit])


def sweeps(runs: Path, limit: int | None = None) -> list[Sweep]:
    """Every sweep, newest start first."""
    return [Sweep.of(summary(folder)) for folder in folders(runs, sweeps=True)[::-1][:limit]]
