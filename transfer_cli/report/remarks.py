"""The notes below a comparison: how groups were tested, which classes became worse, which results are missing, equal or
doubtful, and what the runs cannot show."""

from collections.abc import Sequence

from transfer_cli.analysis import numbers, run_labels
from transfer_cli.analysis.comparison import Comparison
from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.significance import ALPHA
from transfer_cli.analysis.single import History, cautions
from transfer_cli.analysis.verdicts import Verdict
from transfer_cli.report.labels import of_a_class

WORST = 3  # the most classes, baselines or runs that a note names


def remarks(comparison: Comparison, marks: Sequence[bool], history: History) -> list[str]:
    """Everything that a reader of the table must know, one sentence each. `marks`: whether each group is on the Pareto
    front. `history` returns further runs, for groups of one seed."""
    notes = [
        *_what_is_tested(comparison, marks),
        *(note for pair in zip(comparison.groups, comparison.verdicts) for note in _of_group(comparison, *pair)),
        *_pooled(comparison),
        *_ruled_out(comparison),
    ]
    if comparison.single:
        notes += cautions(comparison.groups, comparison.verdicts, comparison.metric, comparison.measure, history)
    return notes + _source_note(comparison)


def hints(comparison: Comparison) -> list[str]:
    """Suggestions for the next comparison, and the user's notes on the counted runs."""
    return _untested(comparison) + _best_two(comparison) + _user_notes(comparison)


def _what_is_tested(comparison: Comparison, marks: Sequence[bool]) -> list[str]:
    """`P: nothing else is better and cheaper.  delta, p: paired by seed, Holm over 5`"""
    tested = [verdict for verdict in comparison.verdicts if verdict.test is not None]
    notes = ["P: nothing else is better and cheaper"] if any(marks) and len(comparison.done) > 1 else []
    pair = comparison.single and len(comparison.done) == 2
    if tested and not pair:
        ways = {"Welch, seeds differ" if v.test and v.test.how == "Welch" else f"paired by {_unit(v)}" for v in tested}
        notes.append(
            f"delta, p: {' or '.join(sorted(ways, reverse=True))}{f', Holm over {len(tested)}' * (len(tested) > 1)}"
        )
    bases = {v.base.label(comparison.words): None for v in comparison.verdicts if v.base is not None}
    if 1 < len(bases) <= WORST:
        notes.append(f"each against the baseline nearest to it: {'; '.join(bases)}")
    return notes


def _untested(comparison: Comparison) -> list[str]:
    if len(comparison.done) < 3 or any(verdict.base is not None for verdict in comparison.verdicts):
        return []
    queries = [query for group in comparison.done if (query := group.query(comparison.words))]
    return [f"no baseline, so nothing is tested: add {_baseline(queries[0])}"] if queries else []


def _pooled(comparison: Comparison) -> list[str]:
    """A warning for --by: groups may then contain runs that differ in more than the seed."""
    runs = [run for group in comparison.groups for run in group.by_unit.values()] if comparison.ask.by else []
    pooled = [word for word in run_labels.differing(runs) if word not in comparison.words]
    note = f"runs of a group differ in {', '.join(pooled)}, too; ± and p take them as independent"
    return [note] if pooled else []


def _ruled_out(comparison: Comparison) -> list[str]:
    ids = [run.id for run in comparison.ruled_out]
    more = f" and {len(ids) - WORST:,} more" if len(ids) > WORST else ""
    name = f"rule {comparison.ask.rule}" if comparison.ask.rule else comparison.metric
    return [f"left out, without {name}: {', '.join(ids[:WORST])}{more}"] if ids else []


def _unit(verdict: Verdict) -> str:
    return {"seeds": "seed", "rows": "test row", "draws": "draw"}[verdict.over]


def _baseline(words: str) -> str:
    return f"--baseline '{words}'" if " " in words else f"--baseline {words}"


def _of_group(comparison: Comparison, group: Group, verdict: Verdict) -> list[str]:
    notes, label = [], group.label(comparison.words)
    seeds = ", ".join(str(run.seed) for run in group.failed)
    if group.failed:
        notes.append(f"{label}: seed {seeds} failed" + (", the mean of survivors flatters" if group.counted else ""))
    if len(group.by_unit) > len(group.counted):
        seeds = ", ".join(unit[0] for unit in group.by_unit)
        notes.append(f"{label}: seeds {seeds} gave {'the same result' if group.fixed else 'equal results'}, which "
                     f"count{'s' * group.fixed} once")  # fmt: skip
    elif len(group.counted) == 1 and not comparison.single:
        notes.append(f"{label}: one seed, so nothing is known about other seeds")
    if group.left_out:
        notes.append(f"{label}: left out, not done: {', '.join(run.id for run in group.left_out)}")
    if group.doubtful:
        notes.append(f"{label}: code or data changed between runs of seed {group.doubtful[0]}; the newest counts")
    if verdict.classes:
        notes.append(f"{label}: {_worse_classes(verdict)}")
    if _flips_differ(verdict):
        assert verdict.test is not None
        notes.append(f"{label}: by sign flips p is {numbers.p_value(verdict.test.p_flip)}: the t test may be misled")
    return notes


def _worse_classes(verdict: Verdict) -> str:
    """`NEGATIVE transfer in class 5, recall -6.1 ±2.0; class 3, recall -4.0 ±2.2 and 2 more`"""
    name, scale = of_a_class(verdict.family), verdict.family.scale
    worst = [f"class {c.name}, {name} {numbers.signed(c.delta, scale)}" for c in verdict.classes[:WORST]]
    more = len(verdict.classes) - WORST
    kind = "NEGATIVE transfer" if verdict.negative else "worse"
    return f"{kind} in {'; '.join(worst)}" + (f" and {more} more" if more > 0 else "")


def _flips_differ(verdict: Verdict) -> bool:
    test = verdict.test
    return test is not None and test.p_flip == test.p_flip and (test.p < ALPHA) != (test.p_flip < ALPHA)


def _source_note(comparison: Comparison) -> list[str]:
    runs = [group.run for group in comparison.groups]
    runs = [run for run in runs if run.setting("pretrain.method") not in (None, "none", "given")]
    seeds = {str(run.setting("pretrain.seed")): run.setting("pretrain.seed") for run in runs}
    if not any(len(group.counted) > 1 for group in comparison.groups):
        return []
    fixed = len(seeds) == 1 and isinstance(next(iter(seeds.values())), int)
    return [f"one source model for all seeds (pretrain.seed={next(iter(seeds))})"] if fixed else []


def _best_two(comparison: Comparison) -> list[str]:
    """A suggestion if the two best groups are both better than their baseline, as they were not tested against each
    other."""
    first = [(group, verdict) for group, verdict in zip(comparison.groups, comparison.verdicts) if group.counted][:2]
    if [verdict.word for _, verdict in first] != ["better", "better"] or first[0][1].base is not first[1][1].base:
        return []
    (best, _), (second, _) = first
    query = second.query(comparison.words) or best.query(comparison.words)
    return [f"{best.label(comparison.words)} or {second.label(comparison.words)}? add {_baseline(query)}"]


def _user_notes(comparison: Comparison) -> list[str]:
    """The user's notes on the counted runs."""
    runs = [run for group in comparison.groups for run in group.counted]
    return [f"{run.id}: {run.note}" for run in runs if run.note]
