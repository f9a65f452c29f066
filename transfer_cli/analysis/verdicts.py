"""The verdict of each group against its baseline: better, worse, unclear, NEGATIVE transfer or NO CONCLUSION, for the
metric and for single classes. All tests of a table are corrected together (Holm), and all tests of its classes
likewise."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import nan

from transfer_cli.analysis import query, run_labels
from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.results import Run
from transfer_cli.analysis.significance import ALPHA, Difference, discordant, holm, paired, welch
from transfer_cli.analysis.statistics import Interval
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.measures import Measure

METHOD = ("experiment", "strategy", "source", "weights", "pretrain", "align", "fine_tune", "predictor", "evaluate")
Rows = Callable[[Run, str, str], Sequence[float] | None]  # run, metric, rule -> one value for each test row


@dataclass(frozen=True)
class ClassChange:
    """A class on which a group is significantly worse than its baseline; `p` is corrected."""

    name: str
    delta: Interval
    p: float


@dataclass(eq=False)
class Verdict:
    """The verdict of one group. `word` is empty without a baseline. `over`: what the test is over, "seeds", "rows" or
    "draws". `p_holm`: the corrected p value. `classes`: the classes that became worse."""

    word: str = ""
    base: Group | None = None
    test: Difference | None = None
    over: str = ""
    p_holm: float = nan
    negative: bool = False  # the baseline uses no transfer, so a worse result is negative transfer
    classes: list[ClassChange] = field(default_factory=list)
    family: Measure = field(default_factory=Measure)  # the measure of the metric that was compared class by class


def judge(
    groups: Sequence[Group],
    words: Sequence[str],
    metric: str,
    measure: Measure,
    baseline: Sequence[str] = (),
    rows: Rows | None = None,
) -> list[Verdict]:
    """One verdict for each group, in order. `baseline`: a query that selects the baseline. `rows` returns scores of
    single test rows, for groups of one result. Raises ConfigError if no group matches the query, or if some group would
    have several baselines."""
    bases = _bases(groups, words, baseline)
    single = all(len(group.counted) < 2 for group in groups)
    verdicts = []
    for group, base in zip(groups, bases):
        verdict = Verdict("baseline", base) if base is group else Verdict("", base)
        if base is not None and base is not group and group.counted:
            verdict.test, verdict.over = _test(group, base, metric, rows, single)
            verdict.negative = _is_transfer(group) and (_source_only(base) if _label_free(group) else _scratch(base))
        verdicts.append(verdict)
    _correct(verdicts, groups, measure.sign)
    _by_class(verdicts, groups)
    return verdicts


def _correct(verdicts: Sequence[Verdict], groups: Sequence[Group], sign: int) -> None:
    for verdict, p in zip(verdicts, holm([v.test.p if v.test else nan for v in verdicts])):
        verdict.p_holm = p
    for verdict, group in zip(verdicts, groups):
        if verdict.base is not None and verdict.base is not group and group.counted:
            verdict.word = _word(verdict, group, sign)


def _word(verdict: Verdict, group: Group, sign: int) -> str:
    tested = verdict.test is not None and verdict.base is not None
    if not tested or (verdict.over != "seeds" and not (group.fixed and verdict.base and verdict.base.fixed)):
        return "NO CONCLUSION"
    if not verdict.p_holm < ALPHA or verdict.test is None:
        return "unclear"
    if verdict.test.delta.value * sign < 0:
        return "better"
    return "NEGATIVE transfer" if verdict.negative else "worse"


# baselines
class Bases:
    """Groups that may be a baseline, indexed by their values of the `own` words, in which a group and its baseline must
    agree."""

    def __init__(self, groups: Sequence[Group], own: Sequence[str], words: Sequence[str]) -> None:
        self.groups, self._own, self._words = set(groups), own, words
        self._by_own: dict[tuple[str, ...], list[Group]] = {}
        for group in groups:
            self._by_own.setdefault(self._values(group, own), []).append(group)

    @staticmethod
    def _values(group: Group, words: Sequence[str]) -> tuple[str, ...]:
        return tuple(group.facts.get(word, "") for word in words)

    def agreeing(self, group: Group) -> list[Group]:
        """The groups that agree with `group` in the `own` words."""
        return self._by_own.get(self._values(group, self._own), [])

    def nearest(self, group: Group) -> Group | None:
        """The baseline of `group`: the group itself if it is a baseline; else of those that agree in the `own` words
        the one that agrees in most words; else the only baseline, if there is one; else None."""
        if group in self.groups:
            return group
        if near := self.agreeing(group):
            values = self._values(group, self._words)
            return max(near, key=lambda base: sum(a == b for a, b in zip(values, self._values(base, self._words))))
        return next(iter(self.groups)) if len(self.groups) == 1 else None


def _bases(groups: Sequence[Group], words: Sequence[str], baseline: Sequence[str]) -> list[Group | None]:
    """The baseline of each group: a matching group that agrees with it in all words, except those that define a
    baseline."""
    if baseline:
        return _queried(groups, words, baseline)
    done = [group for group in groups if group.counted]
    scratch, source_only = ([group for group in done if kind(group)] for kind in (_scratch, _source_only))
    if 0 < len(scratch) + len(source_only) < len(done):
        own = [word for word in words if word.partition(".")[0] not in METHOD]
        kinds = Bases(source_only, own, words), Bases(scratch, own, words)
        return [_default(group, *(kinds if _label_free(group) else kinds[::-1])) for group in groups]
    # all groups are baselines, or none is: it is clear which pair to test only if there are two groups
    first = min(done, key=lambda group: group.run.started) if len(done) == 2 else None
    return [first] * len(groups)


def _default(group: Group, first: Bases, second: Bases) -> Group | None:
    """The baseline without transfer that uses the same kind of labels (`first`), else the other one (`second`)."""
    return group if group in second.groups else first.nearest(group) or second.nearest(group)


def _queried(groups: Sequence[Group], words: Sequence[str], baseline: Sequence[str]) -> list[Group | None]:
    """The baseline of each group among those that match the query of --baseline. Raises ConfigError."""
    pairs = [(key, value) for key, _, value in (word.partition("=") for word in baseline)]
    fitting = [g for g in groups if g.counted and all(query.fits(g.run, key, value) for key, value in pairs)]
    text = " ".join(baseline)
    if not fitting:
        raise ConfigError(Fault("--baseline", "no group with a result fits", text, see=_choices(groups, words)))
    keys = {key for key, _ in pairs}
    keys |= {word for word in words if word.partition(".")[0] in METHOD} if keys & set(METHOD) else set()
    bases = Bases(fitting, [word for word in words if word not in keys], words)
    for group in groups:
        near = bases.agreeing(group)
        if len(near) > 1 and group not in near:
            raise ConfigError(Fault("--baseline", f"{len(near)} groups fit", text, see=_choices(near, words)))
    return [bases.nearest(group) for group in groups]


def _choices(groups: Sequence[Group], words: Sequence[str]) -> str:
    labels = [query for group in groups if group.counted and (query := group.query(words))]
    return "groups here: " + "; ".join(labels[:5]) + (" ..." if len(labels) > 5 else "")


def _without_source(group: Group) -> bool:
    return group.facts.get("pretrain", "none") == "none" and group.facts.get("weights", "none") == "none"


def _scratch(group: Group) -> bool:
    """Whether the group trains on the target only, from random weights."""
    return _without_source(group) and group.facts.get("fine_tune", "none") != "none"


def _source_only(group: Group) -> bool:
    """Whether the group evaluates the source model without any adaptation."""
    stages = ("align", "fine_tune", "predictor")
    return not _without_source(group) and all(group.facts.get(stage, "none") == "none" for stage in stages)


def _is_transfer(group: Group) -> bool:
    return not _scratch(group) and not _source_only(group)


def _label_free(group: Group) -> bool:
    """Whether the group used no label of the target."""
    tuned = any(group.facts.get(stage, "none") != "none" for stage in ("fine_tune", "predictor"))
    return not tuned and not any(group.cost("labels"))


# tests
def _test(group: Group, base: Group, metric: str, rows: Rows | None, single: bool) -> tuple[Difference | None, str]:
    """The test of a group against its baseline, and what it is over. Over seeds, it is paired if the seeds of one are a
    subset of the other's, else Welch's. It is over test rows if both have one result, and either all groups of the
    table have one or the seed has no effect."""
    test = _over_seeds(group, base, metric, _grain(group, metric))
    if test is not None:
        return test, "seeds"
    if rows is None or len(group.counted) != 1 or len(base.counted) != 1:
        return None, ""
    if not (single or (group.fixed and base.fixed)):
        return None, ""
    return _over_rows(group, base, metric, rows)


def _over_seeds(group: Group, base: Group, metric: str, grain: float) -> Difference | None:
    differences = _pairs(group, base, metric)
    if len(differences) > 1:
        return paired(differences, grain)
    these, those = group.values(metric), base.values(metric)
    return welch(these, those, grain) if min(len(these), len(those)) > 1 else None


def _pairs(group: Group, base: Group, metric: str) -> list[float]:
    """Differences between results of the same seed, one for each pair of results; empty unless the seeds of one group
    are a subset of the other's."""
    shared = [unit for unit in group.by_unit if unit in base.by_unit]
    if len(shared) < min(len(group.by_unit), len(base.by_unit)):
        return []
    differences = {}
    for unit in shared:
        run, base_run = group.by_unit[unit], base.by_unit[unit]
        this, that = group.score(run, metric), base.score(base_run, metric)
        if this is not None and that is not None:
            differences[run_labels.evaluation(run), run_labels.evaluation(base_run)] = this - that
    return list(differences.values())


def _grain(group: Group, metric: str) -> float:
    """The smallest possible change of the metric; 0 if it has none."""
    score = group.counted[0].metric(metric, group.rule_asked)
    return 0.0 if score is None else score.grain


def _over_rows(group: Group, base: Group, metric: str, rows: Rows) -> tuple[Difference | None, str]:
    """Paired test over the test rows, or draws of episodes, that both results share; None if they share none."""
    run, base_run = group.counted[0], base.counted[0]
    draws = run.headline is not None and run.headline.over_draws
    if draws and run.seed != base_run.seed:
        return None, ""  # the draws differ
    this, that = rows(run, metric, group.rule), rows(base_run, metric, base.rule)
    if this is None or that is None or len(this) != len(that) or len(this) < 2:
        return None, ""
    differences = [a - b for a, b in zip(this, that)]
    test = paired(differences)
    if not draws and set(this) | set(that) <= {0.0, 1.0}:  # every row is either correct or wrong
        p = discordant(differences.count(1), differences.count(-1))
        test = Difference(test.delta, p, test.effect, test.how, test.n)
    return test, "draws" if draws else "rows"


def _by_class(verdicts: Sequence[Verdict], groups: Sequence[Group]) -> None:
    """Adds to the verdicts the classes that became worse. Every class of every group is tested against the baseline,
    and all tests are corrected together."""
    tests: list[tuple[Verdict, str, Difference]] = []
    for verdict, group in zip(verdicts, groups):
        if verdict.base is None or verdict.over != "seeds":
            continue
        family = class_family(group.counted[0], group.rule)
        names = _classes(group, verdict.base, family)
        grain = len(names) * _grain_of_rows(group)  # a class has about 1 / len(names) of the test rows
        for name in names:
            if (test := _over_seeds(group, verdict.base, f"{family}/{name}", grain)) is not None:
                tests.append((verdict, name, test))
    for (verdict, name, test), p in zip(tests, holm([test.p for _, _, test in tests])):
        sign = _class_measure(verdict).sign
        if p < ALPHA and test.delta.value * sign > 0:
            verdict.classes.append(ClassChange(name, test.delta, p))
    for verdict in verdicts:
        if verdict.classes:
            verdict.family = _class_measure(verdict)
            verdict.classes.sort(key=lambda change: -verdict.family.sign * change.delta.value)


def class_family(run: Run, rule: str = "") -> str:
    """The metric that is compared class by class: the first, in the order of the measures, that has values of single
    classes; empty if there is none."""
    families = dict.fromkeys(name.partition("/")[0] for name in run.names(rule) if "/" in name)
    return next((name for name in (*run.measures, *families) if name in families), "")


def _class_measure(verdict: Verdict) -> Measure:
    assert verdict.base is not None
    run = verdict.base.counted[0]
    return run.measure(class_family(run, verdict.base.rule))


def _grain_of_rows(group: Group) -> float:
    head = group.counted[0].headline
    return 1 / head.metric.n if head is not None and head.over_rows and head.metric.n else 0.0


def _classes(group: Group, base: Group, family: str) -> list[str]:
    """Classes for which every result of both groups has a value."""
    scored = [set(run.names(which.rule)) for which in (group, base) for run in which.counted]
    shared = set.intersection(*scored) if family else set()
    return sorted(name.removeprefix(f"{family}/") for name in shared if name.startswith(f"{family}/"))
