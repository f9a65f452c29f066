"""Learning curves of the groups: the validation metric and the loss of the last training stage, with mean and interval
over seeds."""

from collections.abc import Sequence
from math import inf

from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.statistics import Interval
from transfer_cli.report import curves
from transfer_cli.report.curves import Rows
from transfer_cli.report.page.chart import Curve, Point, legend, lines
from transfer_cli.report.page.markup import Html, joined, listed, tag
from transfer_cli.report.page.material import MOST, Material, Missing


def learning(material: Material) -> Html:
    """A chart of the validation metric, if there was validation, and a chart of the loss. Raises Missing if no run
    logged steps."""
    groups = material.groups[:MOST]
    rows = curves.of_groups(groups)
    watched = curves.watched(rows, material.comparison.watched)
    charts = [_chart(material, groups, rows, name) for name in (watched, "loss") if name]
    drawn = [figure for figure, _ in charts if figure]
    if not drawn:
        raise Missing("no stage of these runs logged steps")
    drawn_styles = {at for _, styles in charts for at in styles}
    keys = [(material.name(group), material.style(group)) for group in groups if material.style(group) in drawn_styles]
    without = [material.name(group) for group in groups if material.style(group) not in drawn_styles]
    notes = [f"not trained in steps, or not recorded: {', '.join(without)}"] if without else []
    stages = {
        material.name(group): curves.last_stage(group.counted[0])
        for group in groups
        if material.style(group) in drawn_styles
    }
    if len(set(stages.values())) > 1:
        notes += ["not the same stage: " + ", ".join(f"{stage} of {name}" for name, stage in stages.items())]
    return joined([legend(keys), tag("div", *drawn, class_="figures"), listed(notes)])


def _chart(
    material: Material, groups: Sequence[Group], rows: Sequence[Sequence[Rows]], name: str
) -> tuple[Html, set[int]]:
    """The figure of one column, and the styles of the curves in it."""
    metric = name.partition("/")[2]
    measure = material.comparison.measure_of(metric)
    share = bool(metric) and measure.is_share
    scale = 100 if share else 1
    drawn = []
    for group, runs in zip(groups, rows, strict=True):
        points = [
            Point(step, Interval(*(scale * end for end in interval))) for step, interval in curves.curve(runs, name)
        ]
        if points:
            drawn.append(Curve(material.name(group), material.style(group), points))
    if not drawn:
        return Html(), set()
    side = name.partition("_")[0]
    y_name = f"validation {measure.heading}, {side}" if metric else "training loss"
    chart = lines(drawn, "step of the last stage", y_name, within=(0, 100) if share else (0, inf))
    band = "; band: 95 % over seeds" if any(p.y.half == p.y.half for c in drawn for p in c.points) else ""
    caption = tag("figcaption", f"{y_name[0].upper()}{y_name[1:]}{band}")
    return tag("figure", chart, caption), {curve.style for curve in drawn}
