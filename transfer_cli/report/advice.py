"""The result of a race of (source, strategy) pairs, as a table and sentences: the pairs that remained, the recommended
pair, the runner-up, whether the differences are significant, how certain the recommendation is, and which pairs were
dropped and why. Scores are computed on folds of the training rows."""

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

FIRM = 3  # with fewer folds, resampling them says nothing


@dataclass(frozen=True)
class Entry:
    """A pair. `words`: the words that run it; `values`: its values by fold; `score`: their mean over the folds that all
    pairs have; `steps`: its training steps, None if it does not train in steps; `cost`: seconds of its last run;
    `trained`: the number of trained parameters; `why`: why it was dropped, "" if it was not; `tested`: its result on
    test; `taken`: it is the recommended pair."""

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
    """The result of a race. `stayed`: the entries that were not dropped, best first; `tests` and `p`: their tests
    against the first and the corrected p values; `measure`: the measure of the metric; `folds`: the number of folds;
    `counts`: training rows of each class; `rows`: validation rows of a fold; `of_right_rows`: the metric is the share
    of correct rows, so the value of always predicting one class is known."""

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
        """The recommended entry: the one that the race took, else the first."""
        return next((each for each in self.stayed if each.taken), self.stayed[0] if self.stayed else None)

    @property
    def scratch(self) -> Entry | None:
        return next((each for each in self.stayed if each.scratch), None)

    @property
    def grain(self) -> float:
        """The smallest possible change of the score of a fold; 0 if it has none."""
        return 1 / self.rows if self.of_right_rows else 0.0

    def real(self, entry: Entry) -> bool:
        """Whether the difference between an entry and the first is significant."""
        return self.p[list(self.stayed).index(entry)] < ALPHA

    def against_take(self, entry: Entry) -> tuple[Difference | None, bool]:
        """The test of an entry against the recommended one, and whether the difference is significant."""
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
    """Sorts the entries and tests each against the first, paired by fold; all tests are corrected together. `rows`:
    validation rows of a fold; `folds`: the number of folds; `counts`: training rows of each class; `of_right_rows`: as
    in Advice."""
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
    """Mean and 95 % interval over the folds of an entry. It is wider than an interval over the same number of seeds,
    because folds share training rows."""
    values = [entry.values[fold] for fold in sorted(entry.values)]
    if len(values) < 2:
        return Interval(values[0], float("nan"), float("nan"))
    return paired(values, overlap=1 / (folds - 1)).delta


def table(advice: Advice, *, title: str, notes: Sequence[str]) -> Table:
    """The contenders as a table. Its JSON document also holds `take`, `ties` and `not_tried`."""
    unit: Unit = unit_of(advice.measure)
    columns = [
        Column("source_model", head="source model"),
        Column("strategy"),
        Column("words", only="machine"),
        Column("steps", "n"),
        Column("folds", "n", only="machine"),
        Column("mean", unit, advice.measure.heading, "right", True, ("lo", "hi")),
        Column("delta", "+%" if advice.measure.is_share else "+", "to the first", "right", True),
        Column("p_holm", "p", "p Holm"),
        Column("cost", "s"),
        Column("trained", "short"),
        Column("test", unit, "test, once", "right", True),
    ]
    rows = [_row(advice, each, test, p) for each, test, p in zip(advice.stayed, advice.tests, advice.p)]
    ties = [each.words for each in advice.stayed[1:] if not advice.real(each)]
    extra = {
        "take": advice.take.words if advice.take else None,
        "ties": ties,
        "not_tried": [_dropped_entry(each) for each in advice.dropped],
    }
    return Table(columns, rows, title, [*sentences(advice), *notes], schema="advise/1", extra=extra)


def _dropped_entry(each: Entry) -> dict[str, Any]:
    facts = {"words": each.words, "source_model": each.source, "strategy": each.strategy}
    return facts | {"why": each.why, "value": each.score}


def _row(advice: Advice, entry: Entry, test: Difference | None, p: float) -> dict[str, Any]:
    row: dict[str, Any] = {
        "source_model": entry.source, "strategy": entry.strategy, "words": entry.words, "steps": entry.steps,
        "folds": len(entry.values), "mean": interval(entry, advice.folds), "p_holm": p, "cost": entry.cost,
        "trained": entry.trained, "test": entry.tested,
    }  # fmt: skip
    return row | ({"delta": test.delta} if test else {})


def sentences(advice: Advice) -> list[str]:
    """The recommendation, its comparison with scratch and with the majority class, its certainty, its result on test,
    and the dropped pairs."""
    if advice.take is None:
        return ["no run was done in time: a larger --budget, fewer sources, or a smaller trainer.steps"]
    take, lines = advice.take, []
    lines.append(f"TAKE {take.name}: {_value(advice, take)}, 95 % over folds of the training rows")
    if take is not advice.stayed[0]:
        lines.append(_dearer(advice, take))
    elif len(advice.stayed) > 1:
        lines.append(_runner_up(advice, advice.stayed[1]))
    lines += _against_scratch(advice, take) + _against_majority(advice, take) + _firm(advice, take)
    if take.tested is not None:
        lines.append(f"test, looked at once, after the choice: {'; '.join(_tested(advice))}")
    return lines + _dropped(advice)


def _value(advice: Advice, entry: Entry) -> str:
    return f"{advice.measure.heading} {value_text(interval(entry, advice.folds), advice.measure)}"


def _difference(advice: Advice, entry: Entry) -> str:
    test = advice.tests[list(advice.stayed).index(entry)]
    return numbers.signed(test.delta, scale=advice.measure.scale) if test else "by one fold alone"


def _runner_up(advice: Advice, second: Entry) -> str:
    word = "the difference is real" if advice.real(second) else "not shown worse"
    cheaper = advice.stayed[0].cost / second.cost if second.cost else 0.0
    more = f", {cheaper:.0f}x cheaper" if cheaper >= 2 and not advice.real(second) else ""
    return f"runner-up {second.name}: {_difference(advice, second)}, {word}{more}"


def _dearer(advice: Advice, take: Entry) -> str:
    first = advice.stayed[0]
    cheaper = f"{first.cost / take.cost:.0f}x cheaper" if take.cost else "cheaper"
    return f"{first.name} is first: the pick is at {_difference(advice, take)}, within a standard error, and {cheaper}"


def _against_scratch(advice: Advice, take: Entry) -> list[str]:
    if take.scratch:
        if all(each.score is None or each.scratch for each in (*advice.stayed, *advice.dropped)):
            return ["WARNING no source was judged in time: this says nothing about transfer"]
        others = [each for each in advice.stayed if not each.scratch]
        hurt = others and advice.real(others[0])
        text = "transfer hurts here" if hurt else "transfer is not shown to help"
        return [f"WARNING nothing beats scratch: {text}; learn the target alone"]
    scratch = advice.scratch
    if scratch is None:
        return ["WARNING scratch has no result: that transfer helps is not shown"]
    test, real = advice.against_take(scratch)
    if test is None:
        return ["WARNING not shown better than scratch: one fold judged both"]
    gap = numbers.signed(test.delta, scale=advice.measure.scale)
    return [f"scratch: {gap}, so transfer helps" if real else f"WARNING not shown better than scratch: it is at {gap}"]


def _against_majority(advice: Advice, take: Entry) -> list[str]:
    """The value of always predicting the most frequent class of the training rows, and a warning if the recommended
    pair is not better."""
    if not advice.of_right_rows:
        return []
    majority, rows = max(advice.counts.items(), key=lambda item: item[1])
    share, low = rows / sum(advice.counts.values()), interval(take, advice.folds).lo
    always = f"always answering {majority}, the most frequent class: {numbers.percent(share)} %"
    beaten = (low if low == low else take.score or 0.0) > share
    return [always if beaten else f"WARNING not shown better than {always}"]


def _firm(advice: Advice, take: Entry) -> list[str]:
    """How often the recommended pair is best over all resamplings of the folds that all pairs have."""
    common = sorted(set.intersection(*(set(each.values) for each in advice.stayed)))
    if len(advice.stayed) < 2:
        return []
    if len(common) < FIRM:
        return [f"firm?  not to be said: judged by {len(common)} fold{'s' * (len(common) != 1)} that all have"]
    sign, leads, equals = advice.measure.sign, 0, 0
    for draw in product(common, repeat=len(common)):
        best = min(advice.stayed, key=lambda each: sign * mean([each.values[fold] for fold in draw]))
        leads += best is take
        equals += best is take or not advice.real(best)
    share, either = (f"{100 * count / len(common) ** len(common):.0f}" for count in (leads, equals))
    return [f"firm?  it led {share} of 100 resamplings of {len(common)} folds, it or its equal {either}"]


def _tested(advice: Advice) -> list[str]:
    return [
        f"{each.name} {value_text(each.tested, advice.measure)}" for each in advice.stayed if each.tested is not None
    ]


def _dropped(advice: Advice) -> list[str]:
    by_why: dict[str, list[str]] = {}
    for each in advice.dropped:
        name = each.source if each.why.startswith("round") else each.name
        if each.score is not None:
            name += f" {value_text(Interval(each.score, float('nan'), float('nan')), advice.measure)}"
        by_why.setdefault(each.why, []).append(name)
    return [f"out, {why}: {', '.join(names)}" for why, names in by_why.items()]
