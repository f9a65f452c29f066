"""The race as a pure function: who runs, who is dropped, what fits the budget. Clock and results are made up here."""

from collections.abc import Callable, Sequence
from statistics import mean

import pytest

from transfer_cli.runner.successive_halving import FOLDS, PARTS, Pair, Race, Reached, Trial

SCRATCH = Pair("scratch", "net", 900.0, scratch=True)
TUNED = [Pair("fine_tune", "net", 900.0) for _ in range(6)]
PROBED = [Pair("linear_probe", "net") for _ in range(6)]
PAIRS = [SCRATCH, *TUNED, *PROBED]
QUALITY = [0.5, *(0.6 + 0.02 * n for n in range(6)), *(0.55 + 0.02 * n for n in range(6))]
Values = Callable[[Trial], float | None]


def value(trial: Trial) -> float:
    """More steps are better, a fold is harder than the one before; pairs differ by QUALITY."""
    return QUALITY[trial.pair] + (0.1 * trial.round if PAIRS[trial.pair].work else 0.2) - 0.01 * (trial.fold or 0)


def took(pairs: Sequence[Pair], trial: Trial, second: float) -> float:
    return second * (9 / PARTS[trial.round] if pairs[trial.pair].work else 0.2)


def run(
    budget: float, values: Values = value, *, second: float = 1.0, rows: int = 60, most: int = 1000
) -> tuple[Race, list[Reached], float]:
    """All runs of a race, one after the other: a ninth of the steps takes `second`."""
    race, found, gone = Race(PAIRS, range(len(PAIRS)), rows, budget), [], 0.0
    race.overhead = 0.0
    while len(found) < most and (trial := race.next(found, gone)) is not None:
        spent = took(PAIRS, trial, second)
        gone += spent
        found.append(Reached(trial, False, values(trial), spent))
    return race, found, gone


def test_the_best_of_each_strategy_goes_on_and_the_best_of_all_is_told_on_test() -> None:
    race, found, _ = run(10_000)
    trials = [each.trial for each in found]
    for number, stay in enumerate((range(1, 7), (5, 6), (6,))):
        trained = {trial.pair for trial in trials if trial.round == number and trial.pair in range(1, 7)}
        assert trained == set(stay)
    assert {trial.fold for trial in trials if trial[:2] == (6, 2)} == {*range(FOLDS), None}
    assert all(trial.round == 0 for trial in trials if trial.pair > 6)  # nothing to them is a matter of steps
    assert {trial.fold for trial in trials if trial.pair == 12} == set(range(FOLDS))
    assert [trial for trial in trials if trial.fold is None] == trials[-2:] == [Trial(6, 2, None), Trial(0, 2, None)]
    assert len(set(trials)) == len(trials)
    outcomes = race.outcomes(found)
    assert [n for n, outcome in enumerate(outcomes) if not outcome.why] == [0, 6, 12]
    assert outcomes[1].why == "round 1: below others of fine_tune"
    assert outcomes[5].why == "round 2: below others of fine_tune"


def test_a_small_budget_tries_every_strategy_before_more_of_scratch() -> None:
    _, found, gone = run(6.0, second=2.0)
    assert {PAIRS[each.trial.pair].strategy for each in found[:8]} == {"scratch", "fine_tune", "linear_probe"}
    assert gone <= 6.0


def test_scratch_stays_whatever_it_reaches_and_is_taken_where_it_is_best() -> None:
    race, found, _ = run(10_000, lambda trial: 0.0 if trial.pair == 0 else value(trial))
    assert not race.outcomes(found)[0].why
    race, found, _ = run(10_000, lambda trial: 2.0 if trial.pair == 0 else value(trial))
    assert race.finals(found) == [Trial(0, 2, None)]


def test_the_budget_is_kept_and_what_does_not_fit_is_not_begun() -> None:
    for budget in (5.0, 20.0, 60.0, 120.0):
        race, found, gone = run(budget)
        # the first run of a model costs what nobody knows
        assert gone <= budget + 1.0, budget
        assert found
    race, found, gone = run(5.0)
    assert any(outcome.why == "not begun: budget" for outcome in race.outcomes(found))
    assert len(run(120.0)[1]) > len(run(60.0)[1]) > len(found)


def test_where_more_steps_do_not_fit_a_pair_stays_with_those_it_had() -> None:
    race, found, gone = run(45.0, second=3.0)
    outcomes = race.outcomes(found)
    assert gone <= 45.0 + 3.0
    assert any(outcomes[n].round == 0 and not outcomes[n].why for n in range(7))


def test_the_same_folds_are_compared() -> None:
    race, found, _ = run(10_000)
    outcomes = race.outcomes(found)
    for n in (0, 6, 12):
        shared = [outcomes[n].values[fold] for fold in outcomes[6].values]
        assert outcomes[n].score == pytest.approx(mean(shared))


def test_who_failed_is_out_and_who_is_still_running_is_waited_for() -> None:
    race, found, _ = run(10_000, lambda trial: None if trial.pair == 6 else value(trial))
    assert race.outcomes(found)[6].why == "failed"
    assert race.finals(found)[0].pair == 5
    race, found, _ = run(10_000, most=13)
    running = [*found[:-1], Reached(found[-1].trial, open=True)]
    later = [*running]
    while (trial := race.next(later, 13.0)) is not None:
        assert trial.round == 0 or not PAIRS[trial.pair].work
        later.append(Reached(trial, False, value(trial), 1.0))
    assert all(each.trial.round == 0 for each in later)


def test_an_interrupted_race_goes_on_as_one_that_never_was() -> None:
    _, whole, _ = run(100.0)
    for most in (1, 9, 20):
        _, found, gone = run(100.0, most=most)
        again = Race(PAIRS, range(len(PAIRS)), 60, 100.0)
        again.overhead = 0.0
        while (trial := again.next(found, gone)) is not None:
            spent = took(PAIRS, trial, 1.0)
            gone += spent
            found.append(Reached(trial, False, value(trial), spent))
        assert [each.trial for each in found] == [each.trial for each in whole]


def test_smaller_values_can_be_better() -> None:
    race, found, gone = Race(PAIRS, range(len(PAIRS)), 60, 10_000), [], 0.0
    while (trial := race.next(found, gone, lower=True)) is not None:
        found.append(Reached(trial, False, -value(trial), 1.0))
    assert race.finals(found, lower=True)[0] == Trial(6, 2, None)


def test_a_source_that_is_yet_to_learn_counts_with_its_pretraining() -> None:
    pairs = [SCRATCH, Pair("fine_tune", "net", 900.0, to_learn=9000.0), Pair("fine_tune", "other", 900.0)]
    race = Race(pairs, [0, 1, 2], 60, 100.0)
    found = [Reached(Trial(0, 0, 0), False, 0.5, 1.0)]
    assert race.seconds(Trial(1, 0, 0), found) == 1.0 + 90.0 + race.overhead
    assert race.seconds(Trial(2, 0, 0), found) == race.overhead
    assert race.next(found, 1.0) == Trial(2, 0, 0)


# who wins
TWO = [SCRATCH, Pair("fine_tune", "net", 900.0), Pair("linear_probe", "net"), Pair("knn", "net")]
BEST = (0.84, 0.80, 0.86, 0.78, 0.82)


def won(*each: tuple[Sequence[float], float], pairs: Sequence[Pair] = TWO) -> tuple[int | None, int]:
    """The winner, and who is told on test first, of pairs with values by fold and seconds a run."""
    found = [
        Reached(Trial(n, number, fold), False, value, seconds)
        for n, (values, seconds) in enumerate(each)
        for number in (range(3) if pairs[n].work else (0,))
        for fold, value in enumerate(values)
    ]
    race = Race(pairs[: len(each)], range(len(each)), 60, 1000)
    return race.winner(found), race.finals(found)[0].pair


def test_the_cheaper_of_two_that_are_as_good_is_taken() -> None:
    noisy = (0.80, 0.83, 0.80, 0.82, 0.79)  # 0.012 below, and the gaps scatter by more
    scratch, best = ((0.5,) * 5, 1.0), (BEST, 10.0)
    assert won(scratch, best, (noisy, 1.0)) == (2, 2)
    assert won(scratch, best, (noisy, 6.0)) == (1, 1)  # not by half
    assert won(scratch, best, ([value - 0.012 for value in BEST], 1.0)) == (1, 1)  # below in every fold
    assert won(scratch, best, (noisy[:2], 1.0)) == (1, 1)  # too few folds to say so
    assert won(scratch, best, (noisy, 2.0), (noisy, 1.0)) == (3, 3)


def test_scratch_is_no_cheaper_way_to_transfer_nor_transfer_one_to_learn_alone() -> None:
    noisy = (0.80, 0.83, 0.80, 0.82, 0.79)
    assert won((noisy, 1.0), (BEST, 10.0)) == (1, 1)
    assert won((BEST, 10.0), (noisy, 1.0)) == (0, 0)


def test_nobody_wins_before_a_result() -> None:
    assert Race(PAIRS, range(len(PAIRS)), 60, 10.0).winner([]) is None
