"""Successive halving (Jamieson & Talwalkar 2016, arXiv:1502.07943) of (source, strategy) pairs over the number of
training steps, within a budget of time. It is a pure function of the results so far and of the seconds used; nothing is
computed here. A pair competes only with pairs of the same strategy, because a head on frozen features needs few steps
and a trained net many. All pairs are validated on the same folds of the training rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, sqrt
from typing import NamedTuple

from transfer_cli.analysis.statistics import mean, sd

PARTS = (9, 3, 1)  # a round trains 1/9, 1/3 or all of the steps
FOLDS = 5
SHARES = (0.45, 0.65, 0.85)  # shares of the budget after which a round starts no run; the rest is for the test runs
ENOUGH, LEAST = (100, 200, 300), (1, 1, 3)  # for each round, sufficient validation rows and the least number of folds
KEPT = 3  # one in KEPT pairs of a strategy enters the next round
ALIKE = 3  # with fewer common folds, two pairs cannot be called equally good


class Trial(NamedTuple):
    """One run of the race: a pair with 1 / PARTS[round] of its steps, validated on `fold`. A run without fold (None)
    trains on all training rows and is evaluated on test."""

    pair: int
    round: int
    fold: int | None


@dataclass(frozen=True)
class Pair:
    """A source model and a strategy. `work`: rows that all training steps read, 0 if the strategy does not train in
    steps; `to_learn`: rows that a pretraining that is not done must read; `model`: pairs with the same model have the
    same speed."""

    strategy: str
    model: str
    work: float = 0.0
    to_learn: float = 0.0
    scratch: bool = False

    def rounds(self, last: int) -> int:
        """The round whose number of steps the pair uses in round `last`: 0 if it does not train in steps."""
        return last if self.work else 0


@dataclass(frozen=True)
class Reached:
    """The result of a trial. `open`: it is not finished; `value`: its metric, None if it is open or failed; `seconds`:
    its time without pretraining."""

    trial: Trial
    open: bool = False
    value: float | None = None
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """How a pair ended. `round`: the last round with results, None without results; `values`: its values by fold in
    that round; `score`: the mean over the folds that its competitors have, too; `why`: why it was dropped, "" if it was
    not."""

    round: int | None
    values: Mapping[int, float] = field(default_factory=dict)
    score: float | None = None
    why: str = ""


class Race:
    """The race. `order`: the pairs, the most promising first; `rows`: validation rows of a fold; `budget`: seconds;
    `overhead`: seconds of a run in addition to its stages. In the methods, `results` are the results so far and `spent`
    the used seconds; `lower`: smaller values are better."""

    def __init__(self, pairs: Sequence[Pair], order: Sequence[int], rows: int, budget: float) -> None:
        self.pairs, self.order, self.budget, self.overhead = pairs, list(order), budget, 1.0
        self.folds = [min(FOLDS, max(least, ceil(enough / max(1, rows)))) for enough, least in zip(ENOUGH, LEAST)]

    def next(self, results: Sequence[Reached], spent: float, *, lower: bool = False) -> Trial | None:
        """The run to start now; None if the race must wait for open runs or is over."""
        rounds = [each.trial.round if each.trial.fold is not None else len(PARTS) for each in results]
        begun, alive = max((n for n, each in zip(rounds, results) if self._stepped(each)), default=0), self.order
        for number in range(len(PARTS)):
            if number >= begun:
                for trial in self._trials(number, alive, results, self._share(number, results) * self.budget - spent):
                    return trial
                if any(each.open for each in results):
                    return None
            alive = self._promoted(number, alive, results, lower)
        for trial in self.finals(results, lower=lower):
            if trial not in {each.trial for each in results} and spent + self.seconds(trial, results) <= self.budget:
                return trial
        return None

    def _share(self, number: int, results: Sequence[Reached]) -> float:
        """The share of the budget for the rounds up to this one. The first round continues until every strategy was
        tried; otherwise a small budget would be used for folds of scratch, and no source would be tested."""
        tried = {self.pairs[each.trial.pair].strategy for each in results}
        every = {pair.strategy for pair in self.pairs}
        return SHARES[-1] if number == 0 and tried != every else SHARES[number]

    def _stepped(self, each: Reached) -> bool:
        """Whether this result shows which round the race is in."""
        return each.trial.fold is None or bool(self.pairs[each.trial.pair].work)

    def finals(self, results: Sequence[Reached], *, lower: bool = False) -> list[Trial]:
        """The runs that are evaluated on test: the winner and the best scratch."""
        outcomes, won = self.outcomes(results, lower=lower), self.winner(results, lower=lower)
        scratch = [n for n in self._alive(outcomes, lower) if self.pairs[n].scratch and n != won]
        return [Trial(n, outcomes[n].round or 0, None) for n in (won, *scratch[:1]) if n is not None]

    def winner(self, results: Sequence[Reached], *, lower: bool = False) -> int | None:
        """The recommended pair, None before any result. It is the best pair, or the cheapest pair within one standard
        error of the best (Breiman et al. 1984, Classification and Regression Trees, 3.4.3) if that costs at most half
        as much. Scratch cannot replace the best pair, or be replaced, because whether transfer helps is another
        question."""
        outcomes = self.outcomes(results, lower=lower)
        alive = self._alive(outcomes, lower)
        if not alive or self.pairs[alive[0]].scratch:
            return alive[0] if alive else None
        best, cost = alive[0], {n: self._cost(n, outcomes[n], results) for n in alive}
        alike = [
            n for n in alive[1:] if not self.pairs[n].scratch and _alike(outcomes[best].values, outcomes[n].values)
        ]
        return min((n for n in alike if 2 * cost[n] <= cost[best]), key=lambda n: cost[n], default=best)

    def _alive(self, outcomes: Sequence[Outcome], lower: bool) -> list[int]:
        """The pairs that were not dropped, best first."""
        return sorted((n for n in self.order if not outcomes[n].why), key=lambda n: _rank(outcomes[n].score, lower))

    @staticmethod
    def _cost(pair: int, outcome: Outcome, results: Sequence[Reached]) -> float:
        """Mean seconds of the runs of a pair in its last round."""
        own = [each for each in results if each.trial.pair == pair and each.trial.round == outcome.round]
        return mean([each.seconds for each in own if each.trial.fold is not None and each.value is not None])

    def outcomes(self, results: Sequence[Reached], *, lower: bool = False) -> list[Outcome]:
        """The outcome of every pair, from the results so far."""
        alive, outcomes = self.order, [Outcome(None, why="not begun: budget") for _ in self.pairs]
        tried = {each.trial.round for each in results if each.trial.fold is not None and self._stepped(each)}
        for number in range(max(tried, default=0) + 1):
            scores = self._scores(number, alive, results)
            promoted = alive if number == len(PARTS) - 1 else self._promoted(number, alive, results, lower)
            last = number == max(tried, default=0)
            for n in alive:
                level, values = self._level(n, number, results)
                why = "" if n in promoted or (last and n in scores) else self._why(n, number, results, scores, lower)
                outcomes[n] = Outcome(level if values else None, values, scores.get(n), why)
            alive = [n for n in (alive if last else promoted) if n in scores]
        return outcomes

    def _why(self, pair: int, number: int, results: Sequence[Reached], scores: Mapping[int, float], lower: bool) -> str:
        if pair not in scores:
            failed = any(each.trial.pair == pair and not each.open for each in results)
            return "failed" if failed else "not begun: budget"
        return f"round {number + 1}: below others of {self.pairs[pair].strategy}"

    # the runs of a round
    def _trials(self, number: int, alive: Sequence[int], results: Sequence[Reached], left_s: float) -> Iterator[Trial]:
        """Runs of a round that have not started and fit into `left_s` seconds: first all pairs on one fold, then on the
        next. If more steps do not fit, a pair runs with its previous number of steps."""
        started = {each.trial for each in results}
        lost = {each.trial.pair for each in results if not each.open and each.value is None}
        for fold in range(self.folds[number]):
            for pair in alive:
                for level in self._levels(pair, number, results):
                    trial = Trial(pair, level, fold)
                    if trial in started or pair in lost:
                        break
                    if self.seconds(trial, results) <= left_s:
                        yield trial
                        break

    def _levels(self, pair: int, number: int, results: Sequence[Reached]) -> list[int]:
        level = self.pairs[pair].rounds(number)
        before, _ = self._level(pair, number, results)
        begun = any(each.trial.pair == pair and each.trial.round == level for each in results)
        return [level] if begun or before is None else [level, before]

    def _level(self, pair: int, number: int, results: Sequence[Reached]) -> tuple[int | None, dict[int, float]]:
        """The latest round, up to `number`, in which a pair has results, and these results by fold."""
        own = [each for each in results if each.trial.pair == pair and each.trial.round <= number]
        of_folds = [
            (e.trial.round, e.trial.fold, e.value) for e in own if e.trial.fold is not None and e.value is not None
        ]
        level = max((level for level, _, _ in of_folds), default=None)
        return level, {fold: value for at, fold, value in of_folds if at == level}

    # which pairs enter the next round
    def _scores(self, number: int, alive: Sequence[int], results: Sequence[Reached]) -> dict[int, float]:
        """The mean of each pair over the folds that all pairs have; if there are none, over the pair's own folds."""
        lost = {each.trial.pair for each in results if not each.open and each.value is None}
        values = {n: self._level(n, number, results)[1] for n in alive if n not in lost}
        values = {n: own for n, own in values.items() if own}
        common = set.intersection(*map(set, values.values())) if values else set()
        return {n: mean([own[fold] for fold in sorted(common or own)]) for n, own in values.items()}

    def _promoted(self, number: int, alive: Sequence[int], results: Sequence[Reached], lower: bool) -> list[int]:
        scores = self._scores(number, alive, results)
        promoted: set[int] = set()
        for strategy in {self.pairs[n].strategy for n in scores}:
            same = sorted(
                (n for n in scores if self.pairs[n].strategy == strategy), key=lambda n: _rank(scores[n], lower)
            )
            promoted |= set(same[: ceil(len(same) / KEPT)])
        return [n for n in alive if n in promoted]

    # how long a run takes
    def seconds(self, trial: Trial, results: Sequence[Reached]) -> float:
        """The estimated time of a run in seconds, from the pair's own runs, else from runs of the same model. Before
        the first run of a model it is only the overhead."""
        pair = self.pairs[trial.pair]
        done = [each for each in results if each.value is not None]
        if own := [each for each in done if each.trial.pair == trial.pair]:
            last = max(own, key=lambda each: (each.trial.round, each.trial.fold or 0))
            return last.seconds * (PARTS[last.trial.round] / PARTS[trial.round] if pair.work else 1.0) + self.overhead
        rates = [
            each.seconds * PARTS[each.trial.round] / other.work
            for each in done
            if (other := self.pairs[each.trial.pair]).model == pair.model and other.work
        ]
        rate = mean(rates) if rates else 0.0
        return rate * (pair.work / PARTS[trial.round] + pair.to_learn) + self.overhead


def _rank(score: float | None, lower: bool) -> tuple[bool, float]:
    return score is None, (score or 0.0) * (1 if lower else -1)


def _alike(best: Mapping[int, float], other: Mapping[int, float]) -> bool:
    """Whether two pairs differ by at most one standard error on their common folds; False with fewer than ALIKE of
    them. The standard error accounts for the overlap of the folds' training rows (Nadeau & Bengio 2003)."""
    gaps = [best[fold] - other[fold] for fold in sorted(set(best) & set(other))]
    if len(gaps) < ALIKE:
        return False
    return abs(mean(gaps)) <= sd(gaps) * sqrt(1 / len(gaps) + 1 / (FOLDS - 1))
