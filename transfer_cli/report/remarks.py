"""The notes below a comparison: what was tested against what, which classes lost, which results are missing, equal or
doubtful, and what nobody can say yet."""

from collections.abc import Sequence

from transfer_cli.analysis import numbers, run_labels
from transfer_cli.analysis.comparison import Comparison
from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.significance import ALPHA
from transfer_cli.analysis.single import History, cautions
from transfer_cli.analysis.verdicts import Verdict
from transfer_cli.report.labels import of_a_class

WORST = 3  # classes, baselines and the like named in a note


def remarks(found: Comparison, marks: Sequence[bool], history: History) -> list[str]:
    """Everything a reader of the table must know, a sentence each. `marks`: who stands on the Pareto line."""
    notes = [
        *_what_is_tested(found, marks),
        *(note for pair in zip(found.groups, found.verdicts) for note in _of_group(found, *pair)),
        *_pooled(found),
        *_ruled_out(found),
    ]
    if found.single:
        notes += cautions(found.groups, found.verdicts, found.metric, found.measure, history)
    return notes + _source_note(found)


def hints(found: Comparison) -> list[str]:
    """What to ask next, and what the user wrote about runs that count."""
    return _untested(found) + _firsts(found) + _written(found)


def _what_is_tested(found: Comparison, marks: Sequence[bool]) -> list[str]:
    """`P: nothing else is better and cheaper.  delta, p: paired by seed, Holm over 5`"""
    tested = [verdict for verdict in found.verdicts if verdict.test is not None]
    told = ["P: nothing else is better and cheaper"] if any(marks) and len(found.done) > 1 else []
    pair = found.single and len(found.done) == 2
    if tested and not pair:
        ways = {"Welch, seeds differ" if v.test and v.test.how == "Welch" else f"paired by {_unit(v)}" for v in tested}
        told.append(
            f"delta, p: {' or '.join(sorted(ways, reverse=True))}{f', Holm over {len(tested)}' * (len(tested) > 1)}"
        )
    bases = {v.base.label(found.words): None for v in found.verdicts if v.base is not None}
    if 1 < len(bases) <= WORST:
        told.append(f"each against the baseline nearest to it: {'; '.join(bases)}")
    return told


def _untested(found: Comparison) -> list[str]:
    if len(found.done) < 3 or any(verdict.base is not None for verdict in found.verdicts):
        return []
    return [f"no baseline, so nothing is tested: add {_baseline(_words(found, found.done[0]))}"]


def _words(found: Comparison, group: Group) -> str:
    return " ".join(f"{word}={group.facts.get(word, '')}" for word in found.words)


def _pooled(found: Comparison) -> list[str]:
    """With --by a group may hold runs that differ in more than the seed."""
    runs = [run for group in found.groups for run in group.by_unit.values()] if found.ask.by else []
    pooled = [word for word in run_labels.differing(runs) if word not in found.words]
    told = f"runs of a group differ in {', '.join(pooled)}, too; ± and p take them as independent"
    return [told] if pooled else []


def _ruled_out(found: Comparison) -> list[str]:
    ids = [run.id for run in found.ruled_out]
    more = f" and {len(ids) - WORST:,} more" if len(ids) > WORST else ""
    name = f"rule {found.ask.rule}" if found.ask.rule else found.metric
    return [f"left out, without {name}: {', '.join(ids[:WORST])}{more}"] if ids else []


def _unit(verdict: Verdict) -> str:
    return {"seeds": "seed", "rows": "test row", "draws": "draw"}[verdict.over]


def _baseline(words: str) -> str:
    return f"--baseline '{words}'" if " " in words else f"--baseline {words}"


def _of_group(found: Comparison, group: Group, verdict: Verdict) -> list[str]:
    notes, label = [], group.label(found.words)
    seeds = ", ".join(str(run.seed) for run in group.failed)
    if group.failed:
        notes.append(f"{label}: seed {seeds} failed" + (", the mean of survivors flatters" if group.counted else ""))
    if len(group.by_unit) > len(group.counted):
        seeds = ", ".join(unit[0] for unit in group.by_unit)
        notes.append(f"{label}: seeds {seeds} gave {'the same result' if group.fixed else 'equal results'}, which "
                     f"count{'s' * group.fixed} once")  # fmt: skip
    elif len(group.counted) == 1 and not found.single:
        notes.append(f"{label}: one seed, so nothing is known about other seeds")
    if group.left_out:
        notes.append(f"{label}: left out, not done: {', '.join(run.id for run in group.left_out)}")
    if group.doubtful:
        notes.append(f"{label}: code or data changed between runs of seed {group.doubtful[0]}; the newest counts")
    if verdict.classes:
        notes.append(f"{label}: {_lost(verdict)}")
    if _flips_differ(verdict):
        assert verdict.test is not None
        notes.append(f"{label}: by sign flips p is {numbers.p_value(verdict.test.p_flip)}: the t test may be misled")
    return notes


def _lost(verdict: Verdict) -> str:
    """`NEGATIVE transfer in class 5, recall -6.1 ±2.0; class 3, recall -4.0 ±2.2 and 2 more`"""
    name, scale = of_a_class(verdict.family), verdict.family.scale
    worst = [f"class {c.name}, {name} {numbers.signed(c.delta, scale)}" for c in verdict.classes[:WORST]]
    more = len(verdict.classes) - WORST
    kind = "NEGATIVE transfer" if verdict.negative else "worse"
    return f"{kind} in {'; '.join(worst)}" + (f" and {more} more" if more > 0 else "")


def _flips_differ(verdict: Verdict) -> bool:
    test = verdict.test
    return test is not None and test.p_flip == test.p_flip and (test.p < ALPHA) != (test.p_flip < ALPHA)


def _source_note(found: Comparison) -> list[str]:
    runs = [group.run for group in found.groups]
    runs = [run for run in runs if run.setting("pretrain.method") not in (None, "none", "given")]
    seeds = {str(run.setting("pretrain.seed")): run.setting("pretrain.seed") for run in runs}
    if not any(len(group.counted) > 1 for group in found.groups):
        return []
    fixed = len(seeds) == 1 and isinstance(next(iter(seeds.values())), int)
    return [f"one source model for all seeds (pretrain.seed={next(iter(seeds))})"] if fixed else []


def _firsts(found: Comparison) -> list[str]:
    """The two best both beat their baseline: which of them is better was not tested."""
    first = [(group, verdict) for group, verdict in zip(found.groups, found.verdicts) if group.counted][:2]
    if [verdict.word for _, verdict in first] != ["better", "better"] or first[0][1].base is not first[1][1].base:
        return []
    best, second = (group.label(found.words) for group, _ in first)
    return [f"{best} or {second}? add {_baseline(_words(found, first[1][0]))}"]


def _written(found: Comparison) -> list[str]:
    """Notes of the user on the runs that count."""
    runs = [run for group in found.groups for run in group.counted]
    return [f"{run.id}: {run.note}" for run in runs if run.note]
