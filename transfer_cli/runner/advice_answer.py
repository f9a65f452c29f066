"""The answer of `advise`: the recommended pair and its certainty, from the ledger and the results of its runs."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from transfer_cli.analysis import numbers
from transfer_cli.analysis.results import Run
from transfer_cli.report import advice
from transfer_cli.report.screen import Screen
from transfer_cli.rundir.sweepdir import Row
from transfer_cli.runner.race_record import RaceRecord, seconds_of
from transfer_cli.runner.successive_halving import FOLDS, PARTS, Outcome, Trial


def show_advice(record: RaceRecord, ledger: Mapping[str, Any], screen: Screen, remark: str = "") -> None:
    """Shows the table and the recommended command; `ledger` is the content of sweep.json."""
    rows: Sequence[Row] = ledger["runs"]
    metric = record.metric(rows)
    entries = _entries(record, ledger["advise"], rows)
    judged = advice.judged(
        entries,
        record.measure(rows),
        folds=FOLDS,
        rows=record.fold_rows,
        counts=record.counts,
        of_right_rows=metric is not None and metric.grain > 0,
    )
    following = shlex.join(["transfer", "run", *shlex.split(judged.take.words)]) if judged.take else ""
    notes = [*([remark] if remark else []), *_times(record, ledger["advise"], rows)]
    table = advice.table(judged, title=_title(record, judged.measure.label), notes=notes)
    screen.show(replace(table, next=following) if screen.json else table)
    if following and not screen.json:
        screen.command(following)


def _entries(record: RaceRecord, facts: Mapping[str, Any], rows: Sequence[Row]) -> list[advice.Entry]:
    order = facts.get("order", range(len(record.contenders)))
    race, reached, lower = record.race(order), record.reached(rows), record.lower_is_better(rows)
    outcomes, winner = race.outcomes(reached, lower=lower), race.winner(reached, lower=lower)
    results = {Trial(*row["trial"]): record.result(row) for row in rows}
    return [replace(_entry(record, n, outcomes[n], results), taken=n == winner) for n in order]


def _entry(record: RaceRecord, number: int, outcome: Outcome, results: Mapping[Trial, Run | None]) -> advice.Entry:
    contender, level = record.contenders[number], outcome.round or 0
    runs = [run for trial, run in results.items() if trial.pair == number and trial.round == level]
    done = [run for run in runs if run is not None]
    steps = [stage.spec["trainer"]["steps"] // PARTS[level] for stage in contender.stepped]
    last = Trial(number, level, None)
    tested = results.get(last)
    return advice.Entry(
        contender.source.name,
        contender.strategy,
        shlex.join(contender.words_of(last if contender.stepped else Trial(number, len(PARTS) - 1, None))),
        contender.scratch,
        outcome.values,
        outcome.score,
        sum(steps) if steps else None,
        seconds_of(done[-1]) if done else 0.0,
        int(done[-1].cost.get("trained", 0)) if done else 0,
        outcome.why,
        tested.headline.metric.interval if tested is not None and tested.headline is not None else None,
    )


def _title(record: RaceRecord, label: str) -> str:
    target, counts = record.contenders[0].plan.target, sorted(set(record.counts.values()))
    each = f"{counts[0]:,} to {counts[-1]:,} each" if len(counts) > 1 else f"{counts[0]:,} each"
    kind = f"{sum(record.counts.values()):,} labelled {target.raw.kind}, {len(record.counts)} classes, {each}"
    return f"{target.title}: {kind}; {len(record.contenders)} pairs, {label} on {FOLDS} folds"


def _times(record: RaceRecord, facts: Mapping[str, Any], rows: Sequence[Row]) -> Iterator[str]:
    """The time that every round took, and how much of the budget was used."""
    parts = [f"ranking {numbers.duration(facts.get('ranked', 0.0))}"]
    for number in (*range(len(PARTS)), None):
        of_round = [row for row in rows if (row["trial"][1] if row["trial"][2] is not None else None) == number]
        runs = [run for row in of_round if (run := record.result(row)) is not None]
        seconds = sum(run.cost.get("seconds_run", 0.0) for run in runs)
        name = "test" if number is None else "full" if PARTS[number] == 1 else f"1/{PARTS[number]} of the steps"
        parts += [f"{len(of_round)} runs {name} {numbers.duration(seconds)}"] if of_round else []
    spent = numbers.duration(float(facts.get("spent", 0.0)))
    yield f"{' → '.join(parts)}; {spent} of {numbers.duration(record.budget)}"
    if all(contender.scratch for contender in record.contenders):
        yield "no source here: name one, source=mnist or weights=FILE"
