"""Runs as values: results.json, parsed once. All other code uses these types; only this file and metric.py depend on
how a document spells a metric and on what older documents leave out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import nan
from pathlib import Path
from typing import Any, Self

from transfer_cli import legacy_measures
from transfer_cli.analysis.metric import (
    HALF,
    MARK,
    OVER_ROWS,
    PARTS,
    STEP,
    Metric,
    Scores,
    bare,
    counts_right_rows,
    ends_around,
    measure_from,
    measure_in,
    watched_of,
)
from transfer_cli.measures import Measure
from transfer_cli.rundir.runs import UNREADABLE, folders, summary

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Headline:
    """The metric by which runs are compared. `over`: what its interval is over, such as `test pictures` or `draws of
    5-way 1-shot`."""

    metric: Metric
    rule: str
    over: str

    @property
    def over_rows(self) -> bool:
        return self.over.startswith(OVER_ROWS)

    @property
    def over_draws(self) -> bool:
        return self.over.startswith("draws")


@dataclass(frozen=True)
class Stage:
    """A stage of a run; `key` is empty if the run has no method for this stage. `size` is in bytes."""

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
    """The number of a mark, 3 for the net `at_3`; None for a selection rule."""
    number = net.removeprefix(MARK)
    return int(number) if net.startswith(MARK) and number.isdecimal() and number.isascii() else None


@dataclass(frozen=True)
class View:
    """A metric of one net on one view of the test rows. `net`: a selection rule, or `at_3`, the third mark."""

    net: str
    view: str
    task: str
    metric: Metric


@dataclass(frozen=True)
class Run:
    """A run, as results.json describes it. `fault`: why it failed, or why the document cannot be read; an unreadable
    run has only an id and a path. `config`: the tree of settings. `cost`: only the entries that are known. `domains`:
    the distance between source and target, before and after training. `document`: the whole checked document, for
    --json."""

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
    def of(cls, document: Json) -> Self:
        """The run of a document that `rundir.runs.summary` returned, so `rundir.schema` has checked it."""
        return cls(
            document["id"],
            document["status"],
            document.get("name") or "",
            Path(document["path"]) if document.get("path") else None,
            document.get("code"),
            document.get("started") or "",
            document.get("sweep") or "",
            document.get("note") or "",
            document.get("fault") or document.get("error") or "",
            document.get("judge") or "",
            tuple(document["words"]),
            document["choices"],
            document["config"],
            tuple(map(_stage, document["stages"])),
            {name: value for name, value in document["cost"].items() if value is not None},
            document.get("fingerprints") or {},
            tuple(document.get("notes") or ()),
            document,
        )

    @property
    def is_readable(self) -> bool:
        """Whether its settings are known. They are not if the document is unreadable or the run died before it wrote
        them."""
        return bool(self.config)

    @property
    def is_unreadable(self) -> bool:
        return self.status == UNREADABLE

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
        """The class of machines and versions in which equal keys give bit-identical results."""
        return self.document.get("identity") or {}

    @property
    def domains(self) -> Mapping[str, Mapping[str, float]]:
        return self.document.get("domains") or {}

    def setting(self, key: str) -> Any:
        """The value of a dotted key of the settings; None if there is none."""
        value: Any = self.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    @cached_property
    def measures(self) -> Mapping[str, Measure]:
        """Measures of its metrics by bare name, in the order of tables. Older runs declare none and have those of the
        legacy table."""
        declared = self.document.get("measures")
        return {name: measure_from(entry) for name, entry in declared.items()} if declared else legacy_measures.MEASURES

    @property
    def watched(self) -> list[str]:
        """Names of the metrics that are shown at each validation."""
        return watched_of(self.measures)

    def measure(self, name: str) -> Measure:
        """The measure of one metric, by its bare name."""
        declares = self.measures is not legacy_measures.MEASURES
        return measure_in(self.measures, name, Measure(shown=False) if declares else legacy_measures.OTHER)

    @cached_property
    def headline(self) -> Headline | None:
        head = self.document.get("headline")
        if not head:
            return None
        rule = head.get("rule") or ""
        half = head.get("ci95")
        if half is None:
            half = self.document["metrics"].get(rule, {}).get(head["name"] + HALF)
        return Headline(self._metric(head["name"], rule, head["value"], half), rule, head.get("over") or "")

    @property
    def rule(self) -> str:
        """The selection rule of its headline; empty without a headline."""
        return str((self.document.get("headline") or {}).get("rule", ""))

    @property
    def rules(self) -> list[str]:
        """The selection rules whose snapshots were evaluated."""
        return [net for net in self.document["metrics"] if mark_of(net) is None]

    @property
    def marks(self) -> list[str]:
        """The nets that were handed on at a mark and evaluated, in order."""
        nets = [*self.document["metrics"], *(view.net for view in self.views)]
        return sorted({net for net in nets if mark_of(net) is not None}, key=lambda net: mark_of(net) or 0)

    def metric(self, name: str, rule: str = "") -> Metric | None:
        """A metric by its bare name under a rule ("": the headline's rule); None if it has none."""
        rule, value = rule or self.rule, self.value(name, rule)
        if value is None:
            return None
        values = self.document["metrics"][rule]
        full = self.part + name if self.part + name in values else name
        return self._metric(full, rule, value, values.get(full + HALF))

    def value(self, name: str, rule: str = "") -> float | None:
        """The value of a metric, without its interval; None if it has none."""
        values: Mapping[str, float] = self.document["metrics"].get(rule or self.rule, {})
        value = values.get(self.part + name)
        return values.get(name) if value is None else value

    def names(self, rule: str = "") -> list[str]:
        """Bare names of the metrics under a rule."""
        values, start = self.document["metrics"].get(rule or self.rule, {}), len(self.part)
        return [name[start:] for name in values if name.startswith(self.part) and not name.endswith(HALF)]

    def scores(self, rule: str = "") -> Scores:
        """All metrics under a rule, by bare name."""
        return {name: metric for name in self.names(rule) if (metric := self.metric(name, rule)) is not None}

    def step(self, rule: str) -> int | None:
        """The training step at which the snapshot of a rule was taken; None if it is not recorded."""
        step = self.document["metrics"].get(rule, {}).get(STEP)
        return None if step is None else int(step)

    @cached_property
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

    def _metric(self, full: str, rule: str, value: float, half: float | None) -> Metric:
        """`full`: the name as the document spells it; `half`: half the width of the interval, used if the run states no
        ends."""
        head, name = self.document.get("headline") or {}, bare(full)
        n, measure = head.get("n") or 0, self.measure(name)
        ends = (self.document.get("intervals") or {}).get(rule, {}).get(full)
        rows = n > 0 and measure.is_share and str(head.get("over") or "").startswith(OVER_ROWS)
        of_right = bool(rows) and counts_right_rows(name, value, n, stated=ends is not None)
        low, high = ends or ends_around(value, half, n if of_right else 0)
        return Metric(name, value, low, high, n, measure, 1 / n if of_right else 0.0)


def _stage(entry: Json) -> Stage:
    return Stage(
        entry["name"],
        entry["key"] or "",
        entry.get("method") or "",
        entry.get("what") or "",
        entry.get("rule") or "",
        entry.get("state") or "",
        bool(entry.get("cached")),
        entry.get("seconds") or 0.0,
        entry.get("bytes"),
    )


def read(folder: Path) -> Run:
    """The run in a directory. A document that is not valid gives a run with the status `unreadable`."""
    return Run.of(summary(folder))


def listing(runs: Path, limit: int | None = None) -> Iterator[Run]:
    """Every run of a runs folder, newest start first; at most `limit` of them are read."""
    return map(read, folders(runs)[::-1][:limit])
