"""transfer advise DATA --budget 15m: which source and which strategy for these data. Sources are ranked, then pairs
race (race.py) as ordinary runs, judged by folds of the training rows; the best of them and scratch are told on test at
the end. The ledger is the only record: the same command goes on from it, and answers at once when it is finished."""

import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from transfer_cli.analysis import numbers
from transfer_cli.analysis.metric import Metric, legacy_measure
from transfer_cli.analysis.results import Run, read
from transfer_cli.cli.options import Options
from transfer_cli.cli.rank import ranked
from transfer_cli.cli.run import plan_all
from transfer_cli.config.compose import load
from transfer_cli.config.loader import search_path
from transfer_cli.config.words import expand, parse
from transfer_cli.errors import ConfigError, Fault, Stopped, TransferError
from transfer_cli.measures import Measure
from transfer_cli.plan.plan import Plan, Stage
from transfer_cli.report import advice
from transfer_cli.report.rank_table import SCORES, Entry, promise
from transfer_cli.report.screen import Screen
from transfer_cli.rundir.sweepdir import OPEN, Row, SweepDir
from transfer_cli.runner.candidates import KNOWN, Candidate, candidates
from transfer_cli.runner.single_run import digest_of, fault_of
from transfer_cli.runner.successive_halving import FOLDS, PARTS, Pair, Race, Reached, Trial
from transfer_cli.runner.sweep import SweepRunner, refuse_torchrun
from transfer_cli.safe import hide_secrets
from transfer_cli.signals import TIME_UP
from transfer_cli.store.store import Store

STRATEGIES = ("linear_probe", "knn", "fine_tune")  # and scratch, always
BUDGET_S = 900.0
RANKING = 0.2  # of the budget


@dataclass(frozen=True)
class Contender:
    """A pair of the race: its words, its plan at full length, and the source it is from."""

    source: Candidate
    words: tuple[str, ...]
    plan: Plan
    scratch: bool

    @property
    def strategy(self) -> str:
        return self.plan.config.choices["strategy"]

    @property
    def stepped(self) -> list[Stage]:
        """Stages that learn from the target by steps."""
        return [s for s in self.plan.work if s.name != "pretrain" and "trainer" in s.spec]

    def said(self, heat: Trial) -> list[str]:
        """Words of a heat. Pretraining is as ever; the seed changes with the fold where it does not draw the rows."""
        own: dict[str, Any] = {}
        for stage in self.stepped if heat.fold is not None or PARTS[heat.round] > 1 else ():
            if PARTS[heat.round] > 1:
                own[f"{stage.name}.trainer.steps"] = max(1, stage.spec["trainer"]["steps"] // PARTS[heat.round])
            if heat.fold is not None and stage.rule == "final":
                own[f"{stage.name}.trainer.validations"] = 0
        if heat.fold is not None:
            own |= {"data.fold": heat.fold, "data.folds": FOLDS, "evaluate.part": "val"}
            if self.plan.target.view.shots is None and self.plan.target.view.fraction is None:
                own["seed"] = self.plan.values["seed"] + heat.fold
        return [word for word in self.words if parse(word).key not in own] + [f"{k}={v}" for k, v in own.items()]


def main(options: Options, clock: Callable[[], float] = time.monotonic) -> int:
    """Example: transfer advise data=usps data.shots=20 source=none,mnist --budget 15m"""
    began, screen = clock(), Screen.of(options)
    refuse_torchrun()
    found = contenders(options, screen)
    target = found[0].plan.target
    if target.raw.task != "classify" or len(target.classes) < 2:
        raise ConfigError(Fault("data", "advice wants data of two or more classes", target.title))
    wanted = {"budget": options.budget or BUDGET_S, "candidates": [list(each) for each in options.candidates]}
    keys = [stage.key for each in found for stage in each.plan.stages]
    words = [*options.words, *(f"data={text}" for text in options.args)]
    digest = digest_of([keys, [each.words for each in found], wanted, PARTS, FOLDS])
    if (past := SweepDir.finished(options.runs, digest)) is not None:
        _Advising(found, past, options, screen).answer()
        return 0
    ledger = SweepDir.open(options.runs, digest, words=words, rows=[], advise=wanted)
    advising = _Advising(found, ledger.data, options, screen, ledger, lambda: clock() - began)
    return advising.run()


def resumed(options: Options, record: Mapping[str, Any]) -> Options:
    """The options with which an advice was begun, from its sweep.json."""
    wanted = record["advise"]
    sets = tuple(tuple(each) for each in wanted["candidates"])
    return replace(
        options, command="advise", words=tuple(record["words"]), args=(), candidates=sets, budget=wanted["budget"]
    )


# who runs
def contenders(options: Options, screen: Screen) -> list[Contender]:
    """All pairs of a source and a strategy that the words name; scratch first. Raises ConfigError if they would learn
    from different rows."""
    shared = [word for word in options.words if parse(word).top in KNOWN]
    own = [word for word in options.words if word not in shared]
    found = candidates(replace(options, words=tuple(shared)), screen)
    named = any(parse(word).key == "strategy" for word in own)
    if not named:
        own = [f"strategy={','.join(STRATEGIES)}", *own]
    runs = expand(own, multirun=True, seeds=None, search=search_path(own, options.config_dirs))
    made = {}
    for each, words in [*((each, ()) for each in _untaught(found, options)), *product(_taught(found), runs)]:
        strategy = next((parse(word).value for word in words if parse(word).key == "strategy"), "scratch")
        if strategy == "scratch" and words:
            continue
        said = (*each.to_run(strategy), *(word for word in words if parse(word).key != "strategy"))
        try:
            (plan,) = plan_all([load(said, config_dirs=options.config_dirs)], options)
        except TransferError:
            if named or not words:
                raise
            continue  # nobody asked for it
        made[said] = Contender(each, said, plan, not words)
    rows = {str(each.plan.target.key("train", labelled=True, seed=each.plan.values["seed"])) for each in made.values()}
    if len(rows) > 1:
        raise ConfigError(Fault("advise", "the pairs would learn from different rows", do="leave source=base out"))
    return list(made.values())


def _taught(found: Sequence[Candidate]) -> list[Candidate]:
    return [each for each in found if not each.untaught]


def _untaught(found: Sequence[Candidate], options: Options) -> list[Candidate]:
    """What scratch starts from; without any the net of the first source."""
    if own := [each for each in found if each.untaught]:
        return own
    words = tuple(word for word in found[0].words if parse(word).top not in ("source", "weights", "pretrain"))
    (plan,) = plan_all([load([*words, "source=none", "strategy=scratch"], config_dirs=options.config_dirs)], options)
    return [Candidate(words, plan, f"{plan.config.choices['model']} none", True, False)]


# the race
class _Advising:
    """One command's part in it. Without a ledger the `record` is finished, and only told."""

    def __init__(
        self,
        found: Sequence[Contender],
        record: Mapping[str, Any],
        options: Options,
        screen: Screen,
        ledger: SweepDir | None = None,
        clock: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.found, self.record, self.options, self.screen = found, record, options, screen
        self.ledger, self.clock = ledger, clock
        self.before = float(record["advise"].get("spent", 0.0))
        self.budget = float(record["advise"]["budget"])
        first = found[0].plan
        labels = first.target.rows("train", seed=first.values["seed"]).labels
        self.rows = max(1, len(labels) // FOLDS)
        self.counts = {name: int((labels == n).sum()) for n, name in enumerate(first.target.names)}
        self._plans: dict[int, Plan] = {}
        self._results: dict[str, Run] = {}

    @property
    def gone(self) -> float:
        return self.before + self.clock()

    def run(self) -> int:
        assert self.ledger is not None
        ledger, stopped = self.ledger, None
        if "order" not in ledger.data["advise"]:
            order, took = self._order()
            self._note({"order": order, "ranked": took})
        self.record = ledger.data
        self.race = self._race(ledger.data["advise"]["order"])
        runner = SweepRunner(ledger, self.plan_of, self.options, self.screen)
        runner.stop.limit(max(0.0, self.budget - self.gone), "--budget")
        try:
            runner.complete(self.more)
        except Stopped as error:
            stopped = error
        self._note({"spent": self.gone})
        self.record = ledger.data
        if stopped is None or stopped.code == TIME_UP:
            ledger.close("done", 0)
            self.answer()
            return 0
        self.answer("interrupted: the best so far")
        raise stopped

    def _note(self, facts: Mapping[str, Any]) -> None:
        assert self.ledger is not None
        self.ledger.update({"advise": {**self.ledger.data["advise"], **facts}})

    def _order(self) -> tuple[list[int], float]:
        """Scratch first, then the sources by LogME as far as the time for it goes; one of which nothing is known stands
        before those that showed no signal."""
        began, by = self.gone, next(iter(SCORES))
        entries: dict[int, Entry] = {}
        for each in dict.fromkeys(id(pair.source) for pair in self.found if not pair.scratch and pair.source.here):
            source = next(pair.source for pair in self.found if id(pair.source) == each)
            if self.gone > RANKING * self.budget:
                break
            (entries[each],), _ = ranked([source], self.options, self.screen)
            self.screen.note(f"ranked {source.name}: {SCORES[by]} {numbers.plain(entries[each].scores[by].value)}")

        def place(number: int) -> tuple[bool, tuple[int, float]]:
            pair = self.found[number]
            return pair.scratch, promise(entries.get(id(pair.source)), by)

        return sorted(range(len(self.found)), key=place, reverse=True), self.gone - began

    def _race(self, order: Sequence[int]) -> Race:
        store = Store(self.options.runs / ".store", create=False)
        return Race([_pair(each, store) for each in self.found], order, self.rows, self.budget)

    def plan_of(self, number: int) -> Plan:
        assert self.ledger is not None
        if number not in self._plans:
            heat = Trial(*self.ledger.rows[number]["heat"])
            self._plans[number] = self._planned(heat)
        return self._plans[number]

    def _planned(self, heat: Trial) -> Plan:
        words = self.found[heat.pair].said(heat)
        return plan_all([load(words, config_dirs=self.options.config_dirs)], self.options)[0]

    def more(self) -> bool:
        """Adds the next run to the ledger, if there is one to begin now."""
        assert self.ledger is not None
        with self.ledger.changing() as rows:
            found = self.reached(rows)
            self.race.overhead = self._overhead(rows)
            heat = self.race.next(found, self.gone, lower=self._lower())
            if heat is None:
                return False
            words = hide_secrets(self.found[heat.pair].said(heat))
            row: Row = {
                "path": None,
                "state": "to do",
                "code": None,
                "words": words,
                "heat": list(heat),
                "begun": self.gone,
            }
            try:
                self._plans[len(rows)] = self._planned(heat)
            except TransferError as error:
                row |= {"state": "failed", "code": error.code, "fault": fault_of(error)}
            rows.append(row)
        self._note({"spent": self.gone})
        return True

    def _overhead(self, rows: Sequence[Row]) -> float:
        """Seconds that a run took so far beside its stages: its process, its figures. The first waits for the processes
        of runs to be made ready, once, and does not count."""
        done = [run.cost for row in rows[1:] if (run := self._of(row)) is not None]
        if not done:
            return 1.0
        beside = self.gone - rows[1]["begun"] - sum(cost["seconds"] - cost.get("seconds_cached", 0.0) for cost in done)
        return max(0.5, float(beside) / len(done))

    # what was reached
    def reached(self, rows: Sequence[Row]) -> list[Reached]:
        """Rows as the race sees them; runs that the end of the budget cut off are left out."""
        found = []
        for row in rows:
            heat, run = Trial(*row["heat"]), self._of(row)
            if row["code"] == TIME_UP or (row["state"] == "interrupted"):
                continue
            value = run.headline.metric.value if run is not None and run.headline is not None else None
            took = _seconds(run) if run is not None else 0.0
            found.append(Reached(heat, row["state"] in OPEN, value, took))
        return found

    def _of(self, row: Row) -> Run | None:
        """The run of a row that is done and can be read; else nothing."""
        path = row["path"]
        if row["state"] != "done" or not path:
            return None
        if path not in self._results:
            self._results[path] = read(self.options.runs / path)
        run = self._results[path]
        return run if run.is_done else None

    def _metric(self) -> Metric | None:
        """The headline of the first run that has one: all are judged by the same metric."""
        runs = (self._of(row) for row in self.record["runs"])
        return next((run.headline.metric for run in runs if run is not None and run.headline is not None), None)

    def _measure(self) -> Measure:
        metric = self._metric()
        return legacy_measure("accuracy") if metric is None else metric.measure

    def _lower(self) -> bool:
        return self._measure().lower_is_better

    # the answer
    def answer(self, said: str = "") -> None:
        """The advice, of what there is."""
        entries, rows = self._entries(), self.record["runs"]
        metric = self._metric()
        found = advice.judged(
            entries,
            self._measure(),
            folds=FOLDS,
            rows=self.rows,
            counts=self.counts,
            of_right_rows=metric is not None and metric.grain > 0,
        )
        following = shlex.join(["transfer", "run", *shlex.split(found.take.words)]) if found.take else ""
        notes = [*([said] if said else []), *self._times(rows)]
        table = advice.table(found, title=self._title(), notes=notes)
        self.screen.show(replace(table, next=following) if self.screen.json else table)
        if following and not self.screen.json:
            self.screen.command(following)

    def _entries(self) -> list[advice.Entry]:
        order = self.record["advise"].get("order", range(len(self.found)))
        rows, race = self.record["runs"], self._race(order)
        fates = race.fates(self.reached(rows), lower=self._lower())
        won = race.winner(self.reached(rows), lower=self._lower())
        last = {Trial(*row["heat"]): self._of(row) for row in rows}
        return [replace(self._entry(n, fates[n], last), taken=n == won) for n in order]

    def _entry(self, number: int, fate: Any, results: Mapping[Trial, Run | None]) -> advice.Entry:
        pair, level = self.found[number], fate.round or 0
        runs = [run for heat, run in results.items() if heat.pair == number and heat.round == level]
        done = [run for run in runs if run is not None]
        steps = [s.spec["trainer"]["steps"] // PARTS[level] for s in pair.stepped]
        final = Trial(number, level, None)
        tested = results.get(final)
        return advice.Entry(
            pair.source.name,
            pair.strategy,
            shlex.join(pair.said(final if pair.stepped else Trial(number, len(PARTS) - 1, None))),
            pair.scratch,
            fate.values,
            fate.score,
            sum(steps) if steps else None,
            _seconds(done[-1]) if done else 0.0,
            int(done[-1].cost.get("trained", 0)) if done else 0,
            fate.why,
            tested.headline.metric.interval if tested is not None and tested.headline is not None else None,
        )

    def _title(self) -> str:
        target, counts = self.found[0].plan.target, sorted(set(self.counts.values()))
        each = f"{counts[0]:,} to {counts[-1]:,} each" if len(counts) > 1 else f"{counts[0]:,} each"
        kind = f"{sum(self.counts.values()):,} labelled {target.raw.kind}, {len(self.counts)} classes, {each}"
        return f"{target.title}: {kind}; {len(self.found)} pairs, {self._measure().label} on {FOLDS} folds"

    def _times(self, rows: Sequence[Row]) -> Iterator[str]:
        """What every round took, and what is left."""
        told = [f"ranking {numbers.duration(self.record['advise'].get('ranked', 0.0))}"]
        for number in (*range(len(PARTS)), None):
            mine = [r for r in rows if (r["heat"][1] if r["heat"][2] is not None else None) == number]
            took = sum(run.cost.get("seconds_run", 0.0) for row in mine if (run := self._of(row)) is not None)
            name = "test" if number is None else "full" if PARTS[number] == 1 else f"1/{PARTS[number]} of the steps"
            told += [f"{len(mine)} runs {name} {numbers.duration(took)}"] if mine else []
        spent = numbers.duration(float(self.record["advise"].get("spent", self.gone)))
        yield f"{' → '.join(told)}; {spent} of {numbers.duration(self.budget)}"
        if all(pair.scratch for pair in self.found):
            yield "no source here: name one, source=mnist or weights=FILE"


def _seconds(run: Run) -> float:
    """What its stages took, without the source model, which the runs share."""
    return sum(stage.seconds for stage in run.stages if stage.name != "pretrain")


def _pair(each: Contender, store: Store) -> Pair:
    learn = [stage for stage in each.plan.work if stage.name == "pretrain" and "trainer" in stage.spec]
    todo = sum(_work(stage) for stage in learn if not store.done(stage.key))
    model = str(each.plan.values["model"])
    return Pair(each.strategy, model, sum(map(_work, each.stepped)), todo, each.scratch)


def _work(stage: Stage) -> float:
    return float(stage.spec["trainer"]["steps"] * stage.spec["trainer"]["batch"])
