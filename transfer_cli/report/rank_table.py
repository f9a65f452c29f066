"""A ranking as tables: scores with their values for shuffled labels, distances between source and target, and the rank
agreement with the results of runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan, nan, sqrt
from typing import Any, Protocol

from transfer_cli.analysis.ranking import LEAST, Reached
from transfer_cli.analysis.statistics import LEVEL, Interval, mean, sd, t_quantile
from transfer_cli.report.tables import Column, Table, Unit

NO_SIGNAL = "no signal"
SCORES = {  # name -> label on a screen; candidates are sorted by the first one unless --metric names another
    "logme": "LogME", "h_score_shrunk": "H shrunk", "probe": "probe %", "nearest": "1-NN %", "leep": "LEEP",
    "nce": "NCE", "transrate": "TransRate", "h_score": "H-score",
}  # fmt: skip
DISTANCES = {"mmd": "MMD", "coral": "CORAL", "a_distance": "A-distance"}
SHARES = ("probe", "nearest")
OF_CLASSES = ("leep", "nce")
NONE = "–"
ROUNDING = 1e-9


class Figure(Protocol):
    """A score or a distance, as engine.ranking.Figure holds it."""

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
    """A candidate: its name and words, its scores and distances, and the seconds that computing its features took,
    which are near 0 if the features were stored."""

    name: str
    words: str
    scores: Mapping[str, Figure]
    distances: Mapping[str, Figure] = field(default_factory=dict)
    features_s: float = 0.0


def interval(figure: Figure) -> Interval:
    """The value with its t interval."""
    return _around(figure.value, figure.error, figure.freedom)


def null(figure: Figure) -> Interval:
    """The mean over shuffled labels, and the range of 95 % of the shuffles."""
    count = len(figure.shuffled)
    return _around(mean(figure.shuffled), sd(figure.shuffled) * sqrt(1 + 1 / count), count - 1)


def _around(value: float, error: float, freedom: int) -> Interval:
    if error <= ROUNDING * abs(value):  # the score does not depend on the labels
        return Interval(value, value, value)
    half = t_quantile((1 + LEVEL) / 2, freedom) * error
    return Interval(value, value - half, value + half)


def tables(
    entries: Sequence[Entry], results: Sequence[Reached], by: str, *, dash: bool, title: str, notes: Sequence[str]
) -> list[Table]:
    """The ranking by the score `by`, best first; then the tables of distances and of rank agreement, if they have rows.
    `dash`: a missing score is a dash, for formats that people read. The JSON document of the first table holds all of
    them."""
    order = sorted(entries, key=lambda entry: -entry.scores[by].value if by in entry.scores else float("inf"))
    below = [_distances(order), _taus(order, results)]
    extra = {
        "align": [_plain(row, below[0].columns) for row in below[0].rows],
        "tau": [_plain(row, below[1].columns) for row in below[1].rows],
        "reached": [
            {
                "strategy": result.strategy,
                "metric": result.metric,
                "source_model": name,
                "value": value,
            }
            for result in results
            for name, value in result.values.items()
        ],
    }
    rows = [_row(entry, verdict(entry, order[0], by), dash) for entry in order]
    first = Table(_columns(by), rows, title, notes, schema="rank/1", extra=extra)
    return [first, *(table for table in below if table.rows)]


def verdict(entry: Entry, first: Entry, by: str) -> str:
    """The verdict on a candidate by one score. The score is informative only if its whole interval is above the range
    of shuffled labels."""
    if by not in entry.scores:
        return ""
    own = interval(entry.scores[by])
    if own.lo <= null(entry.scores[by]).hi:
        return NO_SIGNAL
    if entry is first:
        return "informative"
    return "overlaps first" if own.hi >= interval(first.scores[by]).lo else "below first"


def promise(entry: Entry | None, by: str) -> tuple[int, float]:
    """A sort key for candidates, the largest first: candidates with a signal by their score, then candidates that were
    not scored (None), then candidates without a signal."""
    if entry is None:
        return 1, 0.0
    return 0 if verdict(entry, entry, by) == NO_SIGNAL else 2, entry.scores[by].value


def _columns(by: str) -> list[Column]:
    grid = list(dict.fromkeys((by, *SCORES)))
    columns = [Column("source_model", head="source model"), Column("words", only="machine")]
    for place, name in enumerate(grid):
        unit: Unit = "%" if name in SHARES else ""
        columns += [
            Column(name, unit, SCORES[name], interval=True),
            Column(f"{name}_shuffled", unit, "shuffled", interval=True),
            Column(f"{name}_time", "s", only="machine"),
        ]
        if place == 0:
            columns.append(Column("verdict"))
    columns += [Column(name, interval=True, only="machine") for name in DISTANCES]
    return [*columns, Column("features_time", "s", "features"), Column("time", "s", "scores")]


def _row(entry: Entry, verdict_word: str, dash: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "source_model": entry.name,
        "words": entry.words,
        "verdict": verdict_word,
        "features_time": entry.features_s,
    }
    for name in SCORES:
        score = entry.scores.get(name)
        row[name] = interval(score) if score else NONE if dash else None
        if score:
            row |= {f"{name}_shuffled": null(score), f"{name}_time": score.seconds}
    row |= {name: interval(distance) for name, distance in entry.distances.items()}
    return row | {"time": sum(score.seconds for score in entry.scores.values())}


def _distances(entries: Sequence[Entry]) -> Table:
    """Distances between the features of source and target, next to the distances after rows of both were mixed."""
    columns = [Column("source_model", head="align")]
    for name, head in DISTANCES.items():
        columns += [Column(name, head=head, interval=True), Column(f"{name}_mixed", head="mixed", interval=True)]
    rows = [
        {"source_model": entry.name}
        | {name: interval(distance) for name, distance in entry.distances.items()}
        | {f"{name}_mixed": null(distance) for name, distance in entry.distances.items()}
        for entry in entries
        if entry.distances
    ]
    return Table(columns, rows)


def _taus(entries: Sequence[Entry], results: Sequence[Reached]) -> Table:
    """Weighted Kendall's tau of every score with the results of each strategy, where there are enough candidates."""
    columns = [Column("strategy", head="tau with"), Column("n", "n"), Column("best")]
    columns += [Column(name, head=head.removesuffix(" %"), align="right") for name, head in SCORES.items()]
    rows = []
    for result in (result for result in results if len(result.values) >= LEAST):
        sign, label = result.measure.sign, result.measure.label
        best = min(result.values, key=lambda name: sign * result.values[name])
        row: dict[str, Any] = {"strategy": f"{result.strategy} {label}", "n": len(result.values)}
        for name in SCORES:
            value = result.tau({entry.name: entry.scores[name].value for entry in entries if name in entry.scores})
            row[name] = None if isnan(value) else value
        rows.append(row | {"best": best})
    return Table(columns, rows)


def _plain(row: Mapping[str, Any], columns: Sequence[Column]) -> dict[str, Any]:
    """A row as in the JSON document, with intervals as three numbers."""
    cells: dict[str, Any] = {}
    for column in columns:
        value = row.get(column.name)
        parts = (value if isinstance(value, Interval) else (nan,) * 3) if column.interval else (value,)
        cells |= dict(zip(column.machine, parts))
    return cells
