"""transfer advise DATA --budget 15m: recommends a source and a strategy for these data. Sources are ranked; then pairs
of a source and a strategy compete by successive halving (successive_halving.py) as ordinary runs, which are validated
on folds of the training rows. At the end the best pair and scratch are evaluated on test. All state is in the ledger:
the same command continues from it, and answers at once when the race is finished."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from transfer_cli.analysis import numbers
from transfer_cli.config.compose import load
from transfer_cli.errors import ConfigError, Fault, Stopped, TransferError
from transfer_cli.plan.plan import Plan
from transfer_cli.report.rank_table import SCORES, Entry, promise
from transfer_cli.report.screen import Screen
from transfer_cli.rundir.sweepdir import Row, SweepDir
from transfer_cli.runner.advice_answer import show_advice
from transfer_cli.runner.contenders import Contender, contenders
from transfer_cli.runner.options import Options
from transfer_cli.runner.planning import plan_one
from transfer_cli.runner.race_record import RaceRecord
from transfer_cli.runner.rank import score_candidates
from transfer_cli.runner.single_run import digest_of, fault_of
from transfer_cli.runner.successive_halving import FOLDS, PARTS, Trial
from transfer_cli.runner.sweep import SweepRunner, refuse_torchrun
from transfer_cli.safe import hide_secrets
from transfer_cli.signals import TIME_UP

BUDGET_S = 900.0
RANKING = 0.2  # the share of the budget that ranking may use


def advise(options: Options, screen: Screen, clock: Callable[[], float] = time.monotonic) -> int:
    """Recommends a pair within `options.budget` (seconds); returns the exit code. Raises ConfigError for data with
    fewer than two classes."""
    began = clock()
    refuse_torchrun()
    pairs = contenders(options, screen)
    target = pairs[0].plan.target
    if not target.raw.has_classes or len(target.classes) < 2:
        raise ConfigError(Fault("data", "advice needs data of two or more classes", target.title))
    budget = options.budget or BUDGET_S
    facts = {"budget": budget, "candidates": [list(each) for each in options.candidates]}
    words = [*options.words, *(f"data={text}" for text in options.args)]
    digest = _digest(pairs, facts)
    record = RaceRecord(pairs, options.runs, budget)
    if (finished := SweepDir.finished(options.runs, digest)) is not None:
        show_advice(record, finished, screen)
        return 0
    ledger = SweepDir.open(options.runs, digest, words=words, rows=[], advise=facts)
    return AdviceRun(record, ledger, options, screen, lambda: clock() - began).complete()


def resumed(options: Options, record: Mapping[str, Any]) -> Options:
    """The options with which an advice was started, from its sweep.json."""
    facts = record["advise"]
    sets = tuple(tuple(each) for each in facts["candidates"])
    return replace(
        options, command="advise", words=tuple(record["words"]), args=(), candidates=sets, budget=facts["budget"]
    )


def _digest(pairs: Sequence[Contender], facts: Mapping[str, Any]) -> str:
    keys = [stage.key for each in pairs for stage in each.plan.stages]
    return digest_of([keys, [each.words for each in pairs], facts, PARTS, FOLDS])


class AdviceRun:
    """The runs of an advice, as far as this command computes them. `clock` returns the seconds since the command
    began."""

    def __init__(
        self, record: RaceRecord, ledger: SweepDir, options: Options, screen: Screen, clock: Callable[[], float]
    ) -> None:
        self.record, self.ledger, self.options, self.screen, self.clock = record, ledger, options, screen, clock
        self.before = float(ledger.data["advise"].get("spent", 0.0))
        self._plans: dict[int, Plan] = {}

    @property
    def spent(self) -> float:
        """Seconds of the budget that are used, including those of earlier commands."""
        return self.before + self.clock()

    def complete(self) -> int:
        """Computes runs until the race is decided or the budget is used, then shows the answer; returns the exit code.
        After an interrupt it shows the best pair so far and raises Stopped."""
        if "order" not in self.ledger.data["advise"]:
            order, seconds = self._order()
            self._note({"order": order, "ranked": seconds})
        self.race = self.record.race(self.ledger.data["advise"]["order"])
        runner = SweepRunner(self.ledger, self.plan_of, self.options, self.screen)
        runner.stop.limit(max(0.0, self.record.budget - self.spent), "--budget")
        stopped = None
        try:
            runner.complete(self.more)
        except Stopped as error:
            stopped = error
        self._note({"spent": self.spent})
        if stopped is None or stopped.code == TIME_UP:
            self.ledger.close("done", 0)
            show_advice(self.record, self.ledger.data, self.screen)
            return 0
        show_advice(self.record, self.ledger.data, self.screen, "interrupted: the best so far")
        raise stopped

    def _note(self, facts: Mapping[str, Any]) -> None:
        self.ledger.update({"advise": {**self.ledger.data["advise"], **facts}})

    def _order(self) -> tuple[list[int], float]:
        """The order in which contenders start, and the seconds that ranking took. Scratch is first, then contenders are
        sorted by the LogME of their source. Ranking ends when its share of the budget is used; a source without a score
        comes before sources whose score is no better than chance."""
        began, by = self.spent, next(iter(SCORES))
        entries: dict[int, Entry] = {}
        pairs = self.record.contenders
        sources = {id(pair.source): pair.source for pair in pairs if not pair.scratch and pair.source.here}
        for source in sources.values():
            if self.spent > RANKING * self.record.budget:
                break
            (entry,), _ = score_candidates([source], self.options, self.screen)
            entries[id(source)] = entry
            self.screen.note(f"ranked {source.name}: {SCORES[by]} {numbers.plain(entry.scores[by].value)}")

        def place(number: int) -> tuple[bool, tuple[int, float]]:
            return pairs[number].scratch, promise(entries.get(id(pairs[number].source)), by)

        return sorted(range(len(pairs)), key=place, reverse=True), self.spent - began

    def plan_of(self, number: int) -> Plan:
        """The plan of a row of the ledger."""
        if number not in self._plans:
            self._plans[number] = self._planned(Trial(*self.ledger.rows[number]["trial"]))
        return self._plans[number]

    def _planned(self, trial: Trial) -> Plan:
        words = self.record.contenders[trial.pair].words_of(trial)
        return plan_one(load(words, config_dirs=self.options.config_dirs), self.options)

    def more(self) -> bool:
        """Adds the next run to the ledger; returns False if no run can start now."""
        with self.ledger.changing() as rows:
            self.race.overhead = self._overhead(rows)
            reached, lower = self.record.reached(rows), self.record.lower_is_better(rows)
            trial = self.race.next(reached, self.spent, lower=lower)
            if trial is None:
                return False
            rows.append(self._row(trial, len(rows)))
        self._note({"spent": self.spent})
        return True

    def _row(self, trial: Trial, number: int) -> Row:
        words = hide_secrets(self.record.contenders[trial.pair].words_of(trial))
        facts = {"words": words, "trial": list(trial), "begun": self.spent}
        try:
            self._plans[number] = self._planned(trial)
        except TransferError as error:
            return {"path": None, "state": "failed", "code": error.code, **facts, "fault": fault_of(error)}
        return {"path": None, "state": "to do", "code": None, **facts}

    def _overhead(self, rows: Sequence[Row]) -> float:
        """Mean seconds that a run took in addition to its stages, for its process and its figures. The first run is
        left out, because it waits until the process server has started."""
        costs = [run.cost for row in rows[1:] if (run := self.record.result(row)) is not None]
        if not costs:
            return 1.0
        beside = self.spent - rows[1]["begun"] - sum(cost["seconds"] - cost["seconds_cached"] for cost in costs)
        return max(0.5, float(beside) / len(costs))
