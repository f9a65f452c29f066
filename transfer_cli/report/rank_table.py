"""A ranking as tables: scores beside their nulls, distances of source and target, and what runs reached since."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, nan, sqrt
from typing import Any, Protocol

from transfer_cli.analysis.ranking import LEAST, Reached
from transfer_cli.analysis.statistics import LEVEL, Interval, mean, sd, t_quantile
from transfer_cli.report.tables import Column, Table, Unit

NO_SIGNAL = "no signal"
SCORES = {  # name -> what a screen calls it; the first decides unless --metric names another
    "logme": "LogME", "h_score_shrunk": "H shrunk", "probe": "probe %", "nearest": "1-NN %", "leep": "LEEP",
    "nce": "NCE", "transrate": "TransRate", "h_score": "H-score",
}  # fmt: skip
DISTANCES = {"mmd": "MMD", "coral": "CORAL", "a_distance": "A-distance"}
SHARES = ("probe", "nearest")
OF_CLASSES = ("leep", "nce")
NONE = "–"
ROUNDING = 1e-9


class Figure(Protocol):
    """engine.ranking.Figure"""

    @property
    def value(self) -> float: ...
    @property
    def error(self) -> float: ...
    @property
    def freedom(self) -> int: ...
    @property
    def shuffled(self) -> list[float]: ...
    @property
    def seconds(self) -> float: ...


@dataclass(frozen=True)
class Entry:
    """A candidate: its name and words, its scores and distances, and how long its features took (next to nothing if
    kept)."""

    name: str
    words: str
    scores: Mapping[str, Figure]
    distances: Mapping[str, Figure] = field(default_factory=dict)
    features_s: float = 0.0


def interval(figure: Figure) -> Interval:
    """The value and its t interval."""
    return _around(figure.value, figure.error, figure.freedom)


def null(figure: Figure) -> Interval:
    """The mean with shuffled labels, and where 95 % of shuffles fall."""
    count = len(figure.shuffled)
    return _around(mean(figure.shuffled), sd(figure.shuffled) * sqrt(1 + 1 / count), count - 1)


def _around(value: float, error: float, freedom: int) -> Interval:
    if error <= ROUNDING * abs(value):  # a score that is the same whatever the labels are
        return Interval(value, value, value)
    half = t_quantile((1 + LEVEL) / 2, freedom) * error
    return Interval(value, value - half, value + half)


def tables(
    entries: Sequence[Entry], results: Sequence[Reached], by: str, *, dash: bool, title: str, notes: Sequence[str]
) -> list[Table]:
    """The ranking by score `by`, best first; where there are any, distances and taus. `dash`: for a face that people
    read. The first table's JSON has all."""
    order = sorted(entries, key=lambda entry: -entry.scores[by].value if by in entry.scores else float("inf"))
    below = [_distances(order), _taus(order, results)]
    extra = {
        "align": [_plain(row, below[0].columns) for row in below[0].rows],
        "tau": [_plain(row, below[1].columns) for row in below[1].rows],
        "reached": [
            {
                "strategy": found.strategy,
                "metric": found.metric,
                "source_model": name,
                "value": value,
            }
            for found in results
            for name, value in found.values.items()
        ],
    }
    rows = [_row(entry, verdict(entry, order[0], by), dash) for entry in order]
    first = Table(_columns(by), rows, title, notes, schema="rank/1", extra=extra)
    return [first, *(table for table in below if table.rows)]


def verdict(entry: Entry, first: Entry, by: str) -> str:
    """What a score says of a candidate: nothing, unless its whole interval is above what shuffled labels score."""
    if by not in entry.scores:
        return ""
    mine = interval(entry.scores[by])
    if mine.lo <= null(entry.scores[by]).hi:
        return NO_SIGNAL
    if entry is first:
        return "informative"
    return "overlaps first" if mine.hi >= interval(first.scores[by]).lo else "below first"


def promise(entry: Entry | None, by: str) -> tuple[int, float]:
    """By what candidates stand in line, the larger first: those with a signal by their score, then those of which
    nothing is known (None), then those without a signal."""
    if entry is None:
        return 1, 0.0
    return 0 if verdict(entry, entry, by) == NO_SIGNAL else 2, entry.scores[by].value


def _columns(by: str) -> list[Column]:
    grid = list(dict.fromkeys((by, *SCORES)))
    found = [Column("source_model", head="source model"), Column("words", only="machine")]
    for place, name in enumerate(grid):
        unit: Unit = "%" if name in SHARES else ""
        found += [
            Column(name, unit, SCORES[name], interval=True),
            Column(f"{name}_shuffled", unit, "shuffled", interval=True),
            Column(f"{name}_time", "s", only="machine"),
        ]
        if place == 0:
            found.append(Column("verdict"))
    found += [Column(name, interval=True, only="machine") for name in DISTANCES]
    return [*found, Column("features_time", "s", "features"), Column("time", "s", "scores")]


def _row(entry: Entry, said: str, dash: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "source_model": entry.name,
        "words": entry.words,
        "verdict": said,
        "features_time": entry.features_s,
    }
    for name in SCORES:
        found = entry.scores.get(name)
        row[name] = interval(found) if found else NONE if dash else None
        if found:
            row |= {f"{name}_shuffled": null(found), f"{name}_time": found.seconds}
    row |= {name: interval(found) for name, found in entry.distances.items()}
    return row | {"time": sum(found.seconds for found in entry.scores.values())}


def _distances(entries: Sequence[Entry]) -> Table:
    """How far features of the source lie from those of the target, beside two clouds of both mixed."""
    columns = [Column("source_model", head="align")]
    for name, head in DISTANCES.items():
        columns += [Column(name, head=head, interval=True), Column(f"{name}_mixed", head="mixed", interval=True)]
    rows = [
        {"source_model": entry.name}
        | {name: interval(found) for name, found in entry.distances.items()}
        | {f"{name}_mixed": null(found) for name, found in entry.distances.items()}
        for entry in entries
        if entry.distances
    ]
    return Table(columns, rows)


def _taus(entries: Sequence[Entry], results: Sequence[Reached]) -> Table:
    """Weighted Kendall tau of every score with what each strategy reached, where it says something."""
    columns = [Column("strategy", head="tau with"), Column("n", "n"), Column("best")]
    columns += [Column(name, head=head.removesuffix(" %"), align="right") for name, head in SCORES.items()]
    rows = []
    for found in (found for found in results if len(found.values) >= LEAST):
        sign, label = found.measure.sign, found.measure.label
        best = min(found.values, key=lambda name: sign * found.values[name])
        row: dict[str, Any] = {"strategy": f"{found.strategy} {label}", "n": len(found.values)}
        for name in SCORES:
            value = found.tau({entry.name: entry.scores[name].value for entry in entries if name in entry.scores})
            row[name] = None if isnan(value) else value
        rows.append(row | {"best": best})
    return Table(columns, rows)


def _plain(row: Mapping[str, Any], columns: Sequence[Column]) -> dict[str, Any]:
    """A row as JSON has it, intervals as three numbers."""
    found: dict[str, Any] = {}
    for column in columns:
        value = row.get(column.name)
        parts = (value if isinstance(value, Interval) else (nan,) * 3) if column.interval else (value,)
        found |= dict(zip(column.machine, parts))
    return found
