"""What a race of (source, strategy) pairs found: a table of those that stayed, what was dropped and why, the pair to
take, the one after it, whether the differences are real, and how firm that is. Scores are of folds of the training
rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from transfer_cli.analysis import numbers
from transfer_cli.analysis.significance import ALPHA, Difference, holm, paired
from transfer_cli.analysis.statistics import Interval, mean
from transfer_cli.measures import Measure
from transfer_cli.report.labels import unit_of, value_text
from transfer_cli.report.tables import Column, Table, Unit

FIRM = 3  # folds below which drawing them anew says nothing


@dataclass(frozen=True)
class Entry:
    """A pair: values by fold, their mean over the folds that all have, the steps it had (None: as many as it takes),
    seconds and parameters of its last run, and why it was dropped; `words` run it, `tested` is what it reached on
    test."""

    source: str
    strategy: str
    words: str
    scratch: bool = False
    values: Mapping[int, float] = field(default_factory=dict)
    score: float | None = None
    steps: int | None = None
    cost: float = 0.0
    trained: int = 0
    why: str = ""
    tested: Interval | None = None
    taken: bool = False

    @property
    def name(self) -> str:
        return f"{self.source}, {self.strategy}"


@dataclass(frozen=True)
class Advice:
    """Entries that stayed, best first, with their tests against the first; what was dropped. `measure`: of the metric
    that judged them; `counts`: training rows of each class; `of_right_rows`: the metric is the share of rows that are
    right, so that what always answering one class reaches is known."""

    stayed: Sequence[Entry]
    dropped: Sequence[Entry]
    tests: Sequence[Difference | None]
    p: Sequence[float]
    measure: Measure
    folds: int
    counts: Mapping[str, int]
    rows: int
    of_right_rows: bool = False

    @property
    def take(self) -> Entry | None:
        """The entry that the race took; where it says none, the first."""
        return next((each for each in self.stayed if each.taken), self.stayed[0] if self.stayed else None)

    @property
    def scratch(self) -> Entry | None:
        return next((each for each in self.stayed if each.scratch), None)

    @property
    def grain(self) -> float:
        """The step in which the score of a fold moves."""
        return 1 / self.rows if self.of_right_rows else 0.0

    def real(self, entry: Entry) -> bool:
        """Whether its difference to the first is."""
        return self.p[list(self.stayed).index(entry)] < ALPHA

    def against_take(self, entry: Entry) -> tuple[Difference | None, bool]:
        """The test of an entry against the one to take, and whether the difference is real."""
        if self.take is None or self.take is self.stayed[0]:
            return self.tests[list(self.stayed).index(entry)], self.real(entry)
        test = _test(entry, self.take, self.grain, self.folds)
        return test, test is not None and test.p * (len(self.stayed) - 1) < ALPHA


def judged(
    entries: Sequence[Entry],
    measure: Measure,
    *,
    folds: int,
    rows: int,
    counts: Mapping[str, int],
    of_right_rows: bool = False,
) -> Advice:
    """The entries in order, tested fold by fold against the first; all tests corrected together. `rows`: of a fold;
    `folds`: parts that the training rows were cut into; `counts`: of these rows, by class; `of_right_rows`: as in
    Advice."""
    sign = measure.sign
    stayed = sorted((e for e in entries if not e.why and e.score is not None), key=lambda e: sign * (e.score or 0.0))
    dropped = [each for each in entries if each not in stayed]
    grain = 1 / rows if of_right_rows else 0.0
    tests = [_test(each, stayed[0], grain, folds) for each in stayed]
    p = holm([test.p if test else float("nan") for test in tests])
    return Advice(stayed, dropped, tests, p, measure, folds, counts, rows, of_right_rows)


def _test(entry: Entry, first: Entry, grain: float, folds: int) -> Difference | None:
    shared = sorted(set(entry.values) & set(first.values))
    if entry is first or len(shared) < 2:
        return None
    return paired([entry.values[fold] - first.values[fold] for fold in shared], grain, overlap=1 / (folds - 1))


def interval(entry: Entry, folds: int) -> Interval:
    """The mean over the folds of an entry, wider than over as many seeds: folds share what they learn from."""
    values = [entry.values[fold] for fold in sorted(entry.values)]
    if len(values) < 2:
        return Interval(values[0], float("nan"), float("nan"))
    return paired(values, overlap=1 / (folds - 1)).delta


def table(found: Advice, *, title: str, notes: Sequence[str]) -> Table:
    """The contenders; of a JSON document also `take`, `ties` and `not_tried`."""
    unit: Unit = unit_of(found.measure)
    columns = [
        Column("source_model", head="source model"),
        Column("strategy"),
        Column("words", only="machine"),
        Column("steps", "n"),
        Column("folds", "n", only="machine"),
        Column("mean", unit, found.measure.heading, "right", True, ("lo", "hi")),
        Column("delta", "+%" if found.measure.is_share else "+", "to the first", "right", True),
        Column("p_holm", "p", "p Holm"),
        Column("cost", "s"),
        Column("trained", "short"),
        Column("test", unit, "test, once", "right", True),
    ]
    rows = [_row(found, each, test, p) for each, test, p in zip(found.stayed, found.tests, found.p)]
    ties = [each.words for each in found.stayed[1:] if not found.real(each)]
    extra = {
        "take": found.take.words if found.take else None,
        "ties": ties,
        "not_tried": [_left(each) for each in found.dropped],
    }
    return Table(columns, rows, title, [*sentences(found), *notes], schema="advise/1", extra=extra)


def _left(each: Entry) -> dict[str, Any]:
    facts = {"words": each.words, "source_model": each.source, "strategy": each.strategy}
    return facts | {"why": each.why, "value": each.score}


def _row(found: Advice, entry: Entry, test: Difference | None, p: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "source_model": entry.source, "strategy": entry.strategy, "words": entry.words, "steps": entry.steps,
        "folds": len(entry.values), "mean": interval(entry, found.folds), "p_holm": p, "cost": entry.cost,
        "trained": entry.trained, "test": entry.tested,
    }  # fmt: skip
    return row | ({"delta": test.delta} if test else {})


def sentences(found: Advice) -> list[str]:
    """The recommendation, how firm it is, what hurts, what was dropped."""
    if found.take is None:
        return ["no run was done in time: a larger --budget, fewer sources, or a smaller trainer.steps"]
    take, told = found.take, []
    told.append(f"TAKE {take.name}: {_value(found, take)}, 95 % over folds of the training rows")
    if take is not found.stayed[0]:
        told.append(_dearer(found, take))
    elif len(found.stayed) > 1:
        told.append(_runner_up(found, found.stayed[1]))
    told += _against_scratch(found, take) + _against_majority(found, take) + _firm(found, take)
    if take.tested is not None:
        told.append(f"test, looked at once, after the choice: {'; '.join(_tested(found))}")
    return told + _dropped(found)


def _value(found: Advice, entry: Entry) -> str:
    return f"{found.measure.heading} {value_text(interval(entry, found.folds), found.measure)}"


def _difference(found: Advice, entry: Entry) -> str:
    test = found.tests[list(found.stayed).index(entry)]
    return numbers.signed(test.delta, scale=found.measure.scale) if test else "by one fold alone"


def _runner_up(found: Advice, second: Entry) -> str:
    word = "the difference is real" if found.real(second) else "not shown worse"
    cheaper = found.stayed[0].cost / second.cost if second.cost else 0.0
    more = f", {cheaper:.0f}x cheaper" if cheaper >= 2 and not found.real(second) else ""
    return f"runner-up {second.name}: {_difference(found, second)}, {word}{more}"


def _dearer(found: Advice, take: Entry) -> str:
    first = found.stayed[0]
    cheaper = f"{first.cost / take.cost:.0f}x cheaper" if take.cost else "cheaper"
    return f"{first.name} is first: the pick is at {_difference(found, take)}, within a standard error, and {cheaper}"


def _against_scratch(found: Advice, take: Entry) -> list[str]:
    if take.scratch:
        if all(each.score is None or each.scratch for each in (*found.stayed, *found.dropped)):
            return ["WARNING no source was judged in time: this says nothing about transfer"]
        others = [each for each in found.stayed if not each.scratch]
        hurt = others and found.real(others[0])
        text = "transfer hurts here" if hurt else "transfer is not shown to help"
        return [f"WARNING nothing beats scratch: {text}; learn the target alone"]
    scratch = found.scratch
    if scratch is None:
        return ["WARNING scratch has no result: that transfer helps is not shown"]
    test, real = found.against_take(scratch)
    if test is None:
        return ["WARNING not shown better than scratch: one fold judged both"]
    gap = numbers.signed(test.delta, scale=found.measure.scale)
    return [f"scratch: {gap}, so transfer helps" if real else f"WARNING not shown better than scratch: it is at {gap}"]


def _against_majority(found: Advice, take: Entry) -> list[str]:
    """What the most frequent class of the training rows reaches if it is always the answer, nothing learned."""
    if not found.of_right_rows:
        return []
    often, rows = max(found.counts.items(), key=lambda item: item[1])
    share, low = rows / sum(found.counts.values()), interval(take, found.folds).lo
    always = f"always answering {often}, the most frequent class: {numbers.percent(share)} %"
    beaten = (low if low == low else take.score or 0.0) > share
    return [always if beaten else f"WARNING not shown better than {always}"]


def _firm(found: Advice, take: Entry) -> list[str]:
    """How often it leads when the folds that all have are drawn anew, every draw counted."""
    common = sorted(set.intersection(*(set(each.values) for each in found.stayed)))
    if len(found.stayed) < 2:
        return []
    if len(common) < FIRM:
        return [f"firm?  not to be said: judged by {len(common)} fold{'s' * (len(common) != 1)} that all have"]
    sign, leads, equals = found.measure.sign, 0, 0
    for draw in product(common, repeat=len(common)):
        best = min(found.stayed, key=lambda each: sign * mean([each.values[fold] for fold in draw]))
        leads += best is take
        equals += best is take or not found.real(best)
    share, either = (f"{100 * count / len(common) ** len(common):.0f}" for count in (leads, equals))
    return [f"firm?  it led {share} of 100 resamplings of {len(common)} folds, it or its equal {either}"]


def _tested(found: Advice) -> list[str]:
    return [f"{each.name} {value_text(each.tested, found.measure)}" for each in found.stayed if each.tested is not None]


def _dropped(found: Advice) -> list[str]:
    by_why: dict[str, list[str]] = {}
    for each in found.dropped:
        name = each.source if each.why.startswith("round") else each.name
        if each.score is not None:
            name += f" {value_text(Interval(each.score, float('nan'), float('nan')), found.measure)}"
        by_why.setdefault(each.why, []).append(name)
    return [f"out, {why}: {', '.join(who)}" for why, who in by_why.items()]
