"""What was asked for: settings in which groups differ, one run against its baseline, everything else folded; data; runs
that are not counted."""

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

COLUMNS = 6  # groups side by side


def settings(it: Material) -> Html:
    """A row a choice or setting that differs; folded, settings that only some groups have, what one run has beside
    another, and all settings of each group."""
    groups = it.found.groups[:COLUMNS]
    if not groups:
        raise Missing("no settings can be read")
    known = [group.facts for group in groups]
    keys = dict.fromkeys([*run_labels.CHOICES, *(key for one in known for key in one)])
    differ = [key for key in keys if len({one.get(key) for one in known}) > 1]
    shared = [key for key in differ if all(key in one for one in known)]
    rest = [key for key in differ if key not in shared]
    more = len(it.found.groups) - COLUMNS
    told = [
        _table(it, groups, shared) if shared else tag("p", "All groups have the same settings."),
        tag("p", f"{more} more groups, folded below", class_="quiet") if more > 0 else None,
        folded(f"{len(rest)} settings that only some groups have", _table(it, groups, rest)) if rest else None,
    ]
    return joined([*told, *_pair(it), *(_all(it, group) for group in it.found.groups)])


def _table(it: Material, groups: Sequence[Group], keys: Sequence[str]) -> Html:
    columns = [Column("setting"), *(Column(f"g{at}", head=it.name(group)) for at, group in enumerate(groups))]
    rows = [{"setting": key, **{f"g{at}": group.facts.get(key, "") for at, group in enumerate(groups)}} for key in keys]
    return boxed(Table(columns, rows))


def _pair(it: Material) -> list[Html]:
    """The best run against one of its baseline, else of the second group: settings, results, cost, code, versions."""
    done = it.found.done
    if len(done) < 2:
        return []
    base = it.found.verdicts[it.found.groups.index(done[0])].base
    other = base if base is not None and base is not done[0] and base.counted else done[1]
    table = difference(done[0].counted[0], other.counted[0], everything=True)
    return [folded(table.title, boxed(table))]


def _all(it: Material, group: Group) -> Html:
    rows = [{"setting": key, "value": value} for key, value in group.facts.items()]
    return folded(f"all settings: {it.name(group)}", boxed(Table([Column("setting"), Column("value")], rows)))


def data(it: Material) -> Html:
    """What was learned from and tested on."""
    run = it.groups[0].counted[0]
    prints, classes, head = run.fingerprints, run_labels.classes_of(run), run.headline
    told: dict[str, str | None] = {
        "target": _named(run, "data", prints.get("target")),
        "source": _named(run, "source", prints.get("source")),
        "classes": numbers.count(len(classes)),
        "tested on": f"{numbers.count(head.metric.n)} {head.over}" if head is not None else None,
    }
    notes = dict.fromkeys(note for group in it.groups for one in group.counted for note in one.notes)
    stages = [f"{stage.name}: {stage.what}" for stage in run.stages if stage.key]
    title = f"stages of {it.name(it.groups[0])}"
    return joined([facts(told), _list("notes", list(notes)), _list(title, stages)])


def _list(title: str, lines: list[str]) -> Html:
    return joined([tag("h3", title), tag("ul", *(tag("li", line) for line in lines))]) if lines else Html()


def _named(run: Run, word: str, digest: object) -> str | None:
    choice = run.choices.get(word) or "none"
    if choice == "none":
        return None
    return f"{PurePath(choice).name}, sha256 {str(digest)[:16]}" if digest else PurePath(choice).name


def uncounted(it: Material) -> Html:
    """Runs that failed, died or never ended; what was left out, and why."""
    rows = [
        {"run": run.id, "name": run.name, "state": run.status, "code": run.code, "why": _why(run)}
        for run in it.runs
        if not run.is_done
    ]
    ruled = [
        {"run": run.id, "name": run.name, "state": "done", "why": f"has no {it.found.metric} by this rule"}
        for run in it.found.ruled_out
    ]
    written = [f"{run.id}: {run.note}" for run in it.runs if run.note]
    if not rows and not ruled and not written:
        raise Missing("none: every run is done and counts")
    columns = [Column("run"), Column("name"), Column("state", state=True), Column("code", align="right"), Column("why")]
    told = boxed(Table(columns, [*rows, *ruled])) if rows or ruled else Html()
    return joined([told, _list("written about runs", written)])


def _why(run: Run) -> str:
    return run.fault or (f"seed {run.seed}" if "seed" in run.config else "")


def expected(it: Material) -> Html:
    """An experiment's stated number beside the one reached."""
    rows = []
    for group in it.groups:
        expect = group.run.setting("expect")
        if isinstance(expect, Mapping) and {"metric", "rule", "value", "tolerance"} <= set(expect):
            rows.append(_against(it, group, expect))
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


def _against(it: Material, group: Group, expect: Mapping[str, object]) -> dict[str, object]:
    name, value, wide = bare(str(expect["metric"])), float(str(expect["value"])), float(str(expect["tolerance"]))
    measure = group.counted[0].measure(name)
    scores = (run.metric(name, str(expect["rule"])) for run in group.counted)
    got = it.found.spread([score.value for score in scores if score is not None])
    agrees = abs(got.value - value) <= wide
    return {
        "group": it.name(group),
        "metric": measure.heading,
        "expected": numbers.plus_minus(Interval(value, value - wide, value + wide), measure.scale),
        "got": numbers.plus_minus(got, measure.scale),
        "verdict": "AGREES" if agrees else "DIFFERS",
        "of": str(expect.get("source", "")),
    }
