"""Notes on a comparison in which each group has one seed: the difference on these test rows, why it says nothing about
other seeds, and how many seeds a conclusion needs. The needed number is estimated from the spread over seeds of other
runs on the same test rows."""

from collections.abc import Callable, Iterable, Sequence
from math import isfinite

from transfer_cli.analysis import numbers, run_labels
from transfer_cli.analysis.groups import Group, grouped
from transfer_cli.analysis.results import Run
from transfer_cli.analysis.significance import detectable, pooled_sd, seeds_needed
from transfer_cli.analysis.statistics import Interval
from transfer_cli.analysis.verdicts import Verdict
from transfer_cli.measures import Measure

SEEDS = 8  # the smallest number of seeds for which the sign-flip test applies, too
History = Callable[[], Iterable[Run]]


def cautions(
    groups: Sequence[Group], verdicts: Sequence[Verdict], metric: str, measure: Measure, history: History
) -> list[str]:
    """Notes below a table whose groups have one seed each. `history` returns other runs; it is called only if
    needed."""
    done = [(group, verdict) for group, verdict in zip(groups, verdicts) if group.counted]
    if len(done) < 2:
        return ["one seed: nothing is known about other seeds"] if done else []
    tested = [(group, verdict) for group, verdict in done if verdict.test is not None]
    facts = [_difference(done[0][0], tested[0][0], tested[0][1], measure)] if len(done) == 2 and tested else []
    if all(verdict.word in ("better", "worse", "unclear", "baseline", "NEGATIVE transfer") for _, verdict in done):
        return [*facts, "seeds change nothing here: what is tested is these test rows"]
    few, deltas = [group for group, _ in done], [v.test.delta for _, v in tested if v.test]
    return facts + _seeds(few, deltas, measure, *_spread(few, metric, history()))


def _difference(first: Group, group: Group, verdict: Verdict, measure: Measure) -> str:
    """The first row of the table minus the second: `difference +0.9, from -0.03 to +1.83 on these 10,000 pictures
    (paired, p .06)`."""
    assert verdict.test is not None
    value, low, high = verdict.test.delta
    if group is not first:
        value, low, high = -value, -high, -low
    difference, lowest, highest = (_signed(end, measure) for end in (value, low, high))
    head = group.counted[0].headline
    over = head.over.removeprefix("test ") if head else ""
    on = f"these {numbers.count(verdict.test.n)} {over}"
    p = numbers.p_value(verdict.test.p)
    return f"difference {difference}, from {lowest} to {highest} on {on} (paired, p {p})"


def _seeds(
    groups: Sequence[Group], deltas: Sequence[Interval], measure: Measure, spread: float, runs: int
) -> list[str]:
    if not isfinite(spread):
        return [f"NO CONCLUSION: one seed each; how much seeds move it is not known, {SEEDS} seeds tell"]
    smallest = _amount(detectable(SEEDS, spread), measure)
    needed = f"{SEEDS} seeds ({_time(groups, SEEDS)}) would show a difference of {smallest}"
    if deltas and len(groups) == 2:
        needed += "; " + _needed(deltas[0].value, spread, groups, measure)
    moved = f"new draws and starts move {_amount(spread, measure)} (sd of {runs} runs here)"
    return [f"NO CONCLUSION: one seed each; {moved}", needed]


def _spread(groups: Sequence[Group], metric: str, history: Iterable[Run]) -> tuple[float, int]:
    """Standard deviation over seeds of the metric in other runs on the same test rows, and the number of these runs.
    Runs with the same number of labels are preferred. nan and 0 if there are none."""
    first = groups[0].counted[0]
    done = [run for run in history if run.is_done and run.value(metric) is not None]
    same = [run for run in done if run_labels.tested(run) == run_labels.tested(first)]
    labels = {run.cost.get("labels") for group in groups for run in group.counted}
    for similar in ([run for run in same if run.cost.get("labels") in labels], same):
        values = [scores for group in grouped(similar) if len(scores := group.values(metric)) > 1]
        if values:
            return pooled_sd(values), sum(map(len, values))
    return float("nan"), 0


def _needed(difference: float, spread: float, groups: Sequence[Group], measure: Measure) -> str:
    seeds, amount = seeds_needed(difference, spread), _amount(abs(difference), measure)
    if seeds is None:
        return f"{amount} needs more than 1,000"
    return f"{amount} needs about {seeds} ({_time(groups, seeds)})" if seeds > SEEDS else f"{amount} needs {seeds}"


def _time(groups: Sequence[Group], seeds: int) -> str:
    """The estimated time of further seeds: of every stage except a pretraining that is the same for all seeds."""
    return numbers.about((seeds - 1) * sum(_seconds(group.counted[0]) for group in groups))


def _seconds(run: Run) -> float:
    fixed = isinstance(run.setting("pretrain.seed"), int)
    return sum(stage.seconds for stage in run.stages if not (fixed and stage.name == "pretrain"))


def _amount(value: float, measure: Measure) -> str:
    return numbers.percent(value) if measure.is_share else numbers.plain(value)


def _signed(value: float, measure: Measure) -> str:
    text = f"{100 * value:.2f}" if measure.is_share else numbers.plain(value)
    return text if text.startswith("-") else f"+{text}"
