"""Settings in which groups differ, all settings (folded), the data, runs that are not counted, and the expectations of
experiments."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath

from transfer_cli.analysis import numbers, run_labels
from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.metric import bare
from transfer_cli.analysis.results import Run
from transfer_cli.analysis.statistics import Interval
from transfer_cli.report.difference import difference
from transfer_cli.report.page.markup import Html, boxed, facts, folded, joined, tag
from transfer_cli.report.page.material import Material, Missing
from transfer_cli.report.tables import Column, Table

COLUMNS = 6  # the most groups side by side


def settings(material: Material) -> Html:
    """A table with one row for each setting in which groups differ. Folded below it: settings that only some groups
    have, the differences between the best run and its baseline, and all settings of each group. Raises Missing."""
    groups = material.comparison.groups[:COLUMNS]
    if not groups:
        raise Missing("no settings can be read")
    facts_of_groups = [group.facts for group in groups]
    keys = dict.fromkeys([*run_labels.CHOICES, *(key for one in facts_of_groups for key in one)])
    differ = [key for key in keys if len({one.get(key) for one in facts_of_groups}) > 1]
    shared = [key for key in differ if all(key in one for one in facts_of_groups)]
    rest = [key for key in differ if key not in shared]
    more = len(material.comparison.groups) - COLUMNS
    parts = [
        _table(material, groups, shared) if shared else tag("p", "All groups have the same settings."),
        tag("p", f"{more} more groups, folded below", class_="quiet") if more > 0 else None,
        folded(f"{len(rest)} settings that only some groups have", _table(material, groups, rest)) if rest else None,
    ]
    return joined([*parts, *_pair(material), *(_all(material, group) for group in material.comparison.groups)])


def _table(material: Material, groups: Sequence[Group], keys: Sequence[str]) -> Html:
    columns = [Column("setting"), *(Column(f"g{at}", head=material.name(group)) for at, group in enumerate(groups))]
    rows = [{"setting": key, **{f"g{at}": group.facts.get(key, "") for at, group in enumerate(groups)}} for key in keys]
    return boxed(Table(columns, rows))


def _pair(material: Material) -> list[Html]:
    """The differences between the best run and a run of its baseline, else of the second group: settings, results,
    cost, code, versions."""
    groups = material.comparison.done
    if len(groups) < 2:
        return []
    base = material.comparison.verdicts[material.comparison.groups.index(groups[0])].base
    other = base if base is not None and base is not groups[0] and base.counted else groups[1]
    table = difference(groups[0].counted[0], other.counted[0], everything=True)
    return [folded(table.title, boxed(table))]


def _all(material: Material, group: Group) -> Html:
    rows = [{"setting": key, "value": value} for key, value in group.facts.items()]
    return folded(f"all settings: {material.name(group)}", boxed(Table([Column("setting"), Column("value")], rows)))


def data(material: Material) -> Html:
    """The data on which the best group was trained and tested, with its notes and stages."""
    run = material.groups[0].counted[0]
    prints, classes, head = run.fingerprints, run_labels.classes_of(run), run.headline
    pairs: dict[str, str | None] = {
        "target": _named(run, "data", prints.get("target")),
        "source": _named(run, "source", prints.get("source")),
        "classes": numbers.count(len(classes)),
        "tested on": f"{numbers.count(head.metric.n)} {head.over}" if head is not None else None,
    }
    notes = dict.fromkeys(note for group in material.groups for one in group.counted for note in one.notes)
    stages = [f"{stage.name}: {stage.what}" for stage in run.stages if stage.key]
    title = f"stages of {material.name(material.groups[0])}"
    return joined([facts(pairs), _list("notes", list(notes)), _list(title, stages)])


def _list(title: str, lines: list[str]) -> Html:
    return joined([tag("h3", title), tag("ul", *(tag("li", line) for line in lines))]) if lines else Html()


def _named(run: Run, word: str, digest: object) -> str | None:
    choice = run.choices.get(word) or "none"
    if choice == "none":
        return None
    return f"{PurePath(choice).name}, sha256 {str(digest)[:16]}" if digest else PurePath(choice).name


def uncounted(material: Material) -> Html:
    """Runs that failed or are not finished, runs that were left out, and the user's notes. Raises Missing if there are
    none."""
    rows = [
        {"run": run.id, "name": run.name, "state": run.status, "code": run.code, "why": _why(run)}
        for run in material.runs
        if not run.is_done
    ]
    ruled = [
        {"run": run.id, "name": run.name, "state": "done", "why": f"has no {material.comparison.metric} by this rule"}
        for run in material.comparison.ruled_out
    ]
    written = [f"{run.id}: {run.note}" for run in material.runs if run.note]
    if not rows and not ruled and not written:
        raise Missing("none: every run is done and counts")
    columns = [Column("run"), Column("name"), Column("state", state=True), Column("code", align="right"), Column("why")]
    table = boxed(Table(columns, [*rows, *ruled])) if rows or ruled else Html()
    return joined([table, _list("written about runs", written)])


def _why(run: Run) -> str:
    return run.fault or (f"seed {run.seed}" if "seed" in run.config else "")


def expected(material: Material) -> Html:
    """The expected number of each experiment and the one that it reached. Raises Missing if no run is an experiment
    with an expectation."""
    rows = []
    for group in material.groups:
        expect = group.run.setting("expect")
        if isinstance(expect, Mapping) and {"metric", "rule", "value", "tolerance"} <= set(expect):
            rows.append(_against(material, group, expect))
    if not rows:
        raise Missing("none of these runs is an experiment with a stated number")
    columns = [
        Column("group"),
        Column("metric"),
        Column("expected", align="right"),
        Column("got", align="right"),
        Column("verdict", state=True),
        Column("of", head=""),
    ]
    return boxed(Table(columns, rows))


def _against(material: Material, group: Group, expect: Mapping[str, object]) -> dict[str, object]:
    name, value, wide = bare(str(expect["metric"])), float(str(expect["value"])), float(str(expect["tolerance"]))
    measure = group.counted[0].measure(name)
    scores = (run.metric(name, str(expect["rule"])) for run in group.counted)
    reached = material.comparison.spread([score.value for score in scores if score is not None])
    agrees = abs(reached.value - value) <= wide
    return {
        "group": material.name(group),
        "metric": measure.heading,
        "expected": numbers.plus_minus(Interval(value, value - wide, value + wide), measure.scale),
        "got": numbers.plus_minus(reached, measure.scale),
        "verdict": "AGREES" if agrees else "DIFFERS",
        "of": str(expect.get("source", "")),
    }
