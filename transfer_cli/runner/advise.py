"""transfer advise DATA --budget 15m: which source and which strategy suit these data. Sources are ranked, then pairs of
a source and a strategy compete by successive halving (successive_halving.py) as ordinary runs, judged by folds of the
training rows; the best pair and scratch are evaluated on test at the end. The ledger is the only record: the same
command goes on from it, and answers at once when it is finished."""

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
RANKING = 0.2  # of the budget


def advise(options: Options, screen: Screen, clock: Callable[[], float] = time.monotonic) -> int:
    """Advises within `options.budget`; returns the exit code. Raises ConfigError for data without two classes."""
    began = clock()
    refuse_torchrun()
    found = contenders(options, screen)
    target = found[0].plan.target
    if not target.raw.has_classes or len(target.classes) < 2:
        raise ConfigError(Fault("data", "advice wants data of two or more classes", target.title))
    budget = options.budget or BUDGET_S
    asked = {"budget": budget, "candidates": [list(each) for each in options.candidates]}
    words = [*options.words, *(f"data={text}" for text in options.args)]
    digest = _digest(found, asked)
    record = RaceRecord(found, options.runs, budget)
    if (finished := SweepDir.finished(options.runs, digest)) is not None:
        show_advice(record, finished, screen)
        return 0
    ledger = SweepDir.open(options.runs, digest, words=words, rows=[], advise=asked)
    return AdviceRun(record, ledger, options, screen, lambda: clock() - began).complete()


def resumed(options: Options, record: Mapping[str, Any]) -> Options:
    """The options with which an advice was begun, from its sweep.json."""
    asked = record["advise"]
    sets = tuple(tuple(each) for each in asked["candidates"])
    return replace(
        options, command="advise", words=tuple(record["words"]), args=(), candidates=sets, budget=asked["budget"]
    )


def _digest(found: Sequence[Contender], asked: Mapping[str, Any]) -> str:
    keys = [stage.key for each in found for stage in each.plan.stages]
    return digest_of([keys, [each.words for each in found], asked, PARTS, FOLDS])


class AdviceRun:
    """This command's part in the runs of an advice. `clock` gives the seconds since the command began."""

    def __init__(
        self, record: RaceRecord, ledger: SweepDir, options: Options, screen: Screen, clock: Callable[[], float]
    ) -> None:
        self.record, self.ledger, self.options, self.screen, self.clock = record, ledger, options, screen, clock
        self.before = float(ledger.data["advise"].get("spent", 0.0))
        self._plans: dict[int, Plan] = {}

    @property
    def spent(self) -> float:
        """Seconds of the budget that are over, with those of earlier commands."""
        return self.before + self.clock()

    def complete(self) -> int:
        """Runs until the race is decided or the budget is over, then shows the answer; returns the exit code. Raises
        Stopped after an interrupt, with the best so far shown."""
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
        """Contenders in the order in which they begin, and the seconds of ranking: scratch first, then by LogME of
        their source as far as the time for it goes; a source that was not ranked stands before those without signal."""
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
        """Adds the next run to the ledger, if there is one to begin now."""
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
        """Seconds that a run took so far beside its stages: its process, its figures. The first run is left out,
        because it waits until the server of processes has started."""
        done = [run.cost for row in rows[1:] if (run := self.record.result(row)) is not None]
        if not done:
            return 1.0
        beside = self.spent - rows[1]["begun"] - sum(cost["seconds"] - cost["seconds_cached"] for cost in done)
        return max(0.5, float(beside) / len(done))
