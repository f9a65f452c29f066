"""Results: every group with its interval, the table of compare, the metric against cost, all selection rules, and
single classes."""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

from transfer_cli.analysis import numbers
from transfer_cli.analysis.comparison import pareto
from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.statistics import Interval, mean
from transfer_cli.analysis.verdicts import class_family
from transfer_cli.report.labels import of_a_class, unit_of
from transfer_cli.report.page.chart import Bar, forest, scatter
from transfer_cli.report.page.markup import Html, boxed, folded, joined, tag
from transfer_cli.report.page.material import MOST, Material, Missing
from transfer_cli.report.run_screen import rules_of
from transfer_cli.report.tables import Column, Table, Unit
from transfer_cli.report.view_tables import view_tables

COLUMNS = 6  # the most groups side by side
WORST = 12  # classes that are shown; the others are folded


def comparison(material: Material) -> Html:
    """The forest plot, the metric against cost, and the table of compare. Raises Missing if no run is done."""
    groups = material.groups[:MOST]
    figures = [tag("figure", _forest(material, groups), tag("figcaption", _over(material)))]
    figures += [
        tag("figure", _costs(material, groups), tag("figcaption", "Dashed: nothing else is better and cheaper."))
    ]
    return joined([tag("div", *figures, class_="figures"), boxed(material.table)])


def _over(material: Material) -> str:
    dots = "" if material.comparison.single else ", a small dot a seed"
    return f"Mean and 95 % interval{dots}; dashed, the baseline."


def _scaled(interval: Interval | None, scale: float) -> Interval:
    return Interval(*(scale * end for end in interval)) if interval else Interval(*[float("nan")] * 3)


def _forest(material: Material, groups: Sequence[Group]) -> Html:
    comparison, scale = material.comparison, material.scale()
    bars = [
        Bar(
            material.name(group),
            material.style(group),
            _scaled(comparison.interval(group), scale),
            [] if comparison.single else [scale * value for value in group.values(comparison.metric)],
        )
        for group in groups
    ]
    bases = {id(v.base): v.base for v in comparison.verdicts if v.base is not None and v.base.counted}
    lone = next(iter(bases.values())) if len(bases) == 1 else None
    base = scale * mean(lone.values(comparison.metric)) if lone else None
    return forest(bars, comparison.measure.heading, base)


def _costs(material: Material, groups: Sequence[Group]) -> Html:
    marks = {
        id(group): mark for group, mark in zip(material.comparison.groups, pareto(material.comparison), strict=True)
    }
    points = []
    for group in groups:
        cost, value = mean(group.cost("seconds")), material.scale() * mean(group.values(material.comparison.metric))
        if isfinite(cost) and isfinite(value):
            points.append((max(cost, 1e-3), value, material.style(group), material.name(group), marks[id(group)]))
    if not points:
        raise Missing("these runs recorded no cost")
    wide = max(point[0] for point in points) > 20 * min(point[0] for point in points)
    about = "; ".join(f"{name} {value:.4g} for {numbers.duration(cost)}" for cost, value, _, name, _ in points)
    return scatter(
        [(cost, value, style, f"{name}, {numbers.duration(cost)}") for cost, value, style, name, _ in points],
        "cost of a run, s",
        material.comparison.measure.heading,
        about=f"{material.comparison.measure.heading} against cost: {about}",
        log=wide,
        steps=sorted((cost, value) for cost, value, _, _, mark in points if mark),
    )


def rules(material: Material) -> Html:
    """The metric under every selection rule of the runs. Values of an oracle are in brackets, because it uses test
    rows. Raises Missing if there is only one rule."""
    measure = material.comparison.measure
    names = dict.fromkeys(rule for group in material.groups for run in group.counted for rule in rules_of(run))
    if len(names) < 2:
        raise Missing(f"the runs kept one snapshot each, {next(iter(names), 'none')}")
    columns = [Column("group"), *(Column(rule, align="right") for rule in names)]
    rows = [
        {"group": material.name(group), **{rule: _by_rule(material, group, rule) for rule in names}}
        for group in material.groups
    ]
    notes = ["in brackets: chosen by looking at test, no result"] if "oracle" in names else []
    return boxed(Table(columns, rows, notes=[f"test {measure.heading}", *notes]))


def _by_rule(material: Material, group: Group, rule: str) -> str:
    scores = [run.metric(material.comparison.metric, rule) for run in group.counted]
    values = [score.value for score in scores if score is not None]
    if not values:
        return ""
    text = numbers.plus_minus(material.comparison.spread(values), scale=material.scale())
    return f"({text})" if rule == "oracle" else text


def views(material: Material) -> Html:
    """Metrics of the first run of the best group on each view of its test rows, and at the marks of its training."""
    tables = view_tables(material.groups[0].counted[0])
    if not tables:
        raise Missing  # the runs have no views, so the page does not mention them
    name = material.name(material.groups[0])
    return joined([joined([tag("h3", f"{table.title}: {name}"), boxed(replace(table, title=""))]) for table in tables])


def classes(material: Material) -> Html:
    """A metric of every class in every group; the classes that became worse than the baseline are first. Raises Missing
    if there are no values of single classes."""
    groups = material.groups[:COLUMNS]
    best = groups[0]
    family = class_family(best.counted[0], best.rule)
    named = [name for name in best.counted[0].names(best.rule) if family and name.startswith(f"{family}/")]
    if not named:
        raise Missing("no scores of single classes were kept")
    measure = best.counted[0].measure(family)
    verdict = material.comparison.verdicts[material.comparison.groups.index(best)]
    base = verdict.base if verdict.base is not None and verdict.base is not best and verdict.base.counted else None
    rows = [_class(material, name, groups, base) for name in named]
    rows.sort(key=lambda row: -measure.sign * row["order"])
    heads = [
        Column(f"g{at}", unit_of(measure), head=material.name(group), interval=True) for at, group in enumerate(groups)
    ]
    unit: Unit = "+%" if measure.is_share else "+"
    delta = [Column("delta", unit, head="first to baseline", interval=True)] if base else []
    columns = [Column("class"), *heads, *delta]
    title = [f"{of_a_class(measure)}{measure.suffix}, ± 95 % over seeds"]
    shown = boxed(Table(columns, rows[:WORST], notes=title))
    more = folded(f"{len(rows) - WORST} more classes", boxed(Table(columns, rows[WORST:]))) if rows[WORST:] else Html()
    return joined([shown, more])


def _class(material: Material, name: str, groups: Sequence[Group], base: Group | None) -> dict[str, Any]:
    row: dict[str, Any] = {"class": name.partition("/")[2]}
    row |= {f"g{at}": material.comparison.spread(group.values(name)) for at, group in enumerate(groups)}
    first = mean(groups[0].values(name))
    if base is None:
        return row | {"order": first}
    change = first - mean(base.values(name))
    return row | {"delta": Interval(change, float("nan"), float("nan")), "order": change}
