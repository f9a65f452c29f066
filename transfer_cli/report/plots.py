"""The figure of a comparison: the mean of each group with its interval and one dot for each seed, the validation
curves, and the metric against cost with the Pareto front. A group has the same colour and marker in all parts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transfer_cli.analysis.comparison import Comparison, pareto
from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.statistics import mean
from transfer_cli.errors import Fault, StoreError
from transfer_cli.report import curves
from transfer_cli.report.figures import GREY, STYLES, finish, new_figure
from transfer_cli.report.text import clean

MOST = 24  # the best groups are drawn, at most this many
LONGEST = 40  # the most letters of a label


def draw(comparison: Comparison, path: Path, title: str = "") -> None:
    """Draws the best groups into the file `path`. Raises StoreError if it cannot be written."""
    groups = comparison.done[:MOST]
    figure = new_figure(8.0, 5.6 + 0.32 * len(groups))
    heights = [1.2 + 0.32 * len(groups), 4.0]
    top, bottom = figure.subfigures(2, 1, height_ratios=heights)
    _bars(top.subplots(), comparison, groups)
    left, right = bottom.subplots(1, 2)
    _curves(left, comparison, groups)
    _costs(right, comparison, groups)
    try:
        finish(figure, path, title)
    except OSError as error:
        raise StoreError(Fault("--plot", f"cannot be written: {error.strerror}", str(path))) from error


def _style(number: int) -> dict[str, Any]:
    color, marker = STYLES[number % len(STYLES)]
    return {"color": color, "marker": marker}


def _bars(ax: Any, comparison: Comparison, groups: Sequence[Group]) -> None:
    scale, extent = comparison.measure.scale, []
    for at, group in enumerate(groups):
        interval, values = comparison.interval(group), [scale * value for value in group.values(comparison.metric)]
        assert interval is not None
        half = scale * interval.half
        ax.errorbar(mean(values), at, xerr=half if half == half else None, capsize=4, markersize=7, **_style(at))
        ax.plot(values, [at + 0.22] * len(values), ".", color=GREY, markersize=4)
        extent += [*values, *([scale * interval.lo, scale * interval.hi] if half == half else [])]
    for base in {id(v.base): v.base for v in comparison.verdicts if v.base is not None and v.base.counted}.values():
        ax.axvline(scale * mean(base.values(comparison.metric)), color=GREY, linestyle=":", linewidth=1)
    ax.set_yticks(range(len(groups)), [_label(group, comparison) for group in groups], fontsize=8, parse_math=False)
    ax.set_ylim(len(groups) - 0.4, -0.6)
    ax.set_xlabel(
        f"{comparison.measure.heading}, {'± 95 %, a dot a seed' if not comparison.single else 'one seed each'}"
    )
    _plain(ax)


def _label(group: Group, comparison: Comparison) -> str:
    text = clean(group.label(comparison.words))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _curves(ax: Any, comparison: Comparison, groups: Sequence[Group]) -> None:
    """The validation metric of the last training stage, as the mean over seeds; the loss if there was no validation."""
    rows = curves.of_groups(groups)
    name = curves.watched(rows, comparison.watched) or "loss"
    metric = name.partition("/")[2]
    measure = comparison.measure_of(metric)
    scale = measure.scale if metric else 1
    for at, group in enumerate(rows):
        points = curves.curve(group, name)
        steps, values = [step for step, _ in points], [scale * interval.value for _, interval in points]
        ax.plot(steps, values, markersize=4, linewidth=1.4, markevery=max(1, len(points) // 12), **_style(at))
    ax.set_xlabel("step of the last stage", fontsize=8)
    ax.set_ylabel(f"validation {measure.heading}" if metric else "training loss")
    _plain(ax)


def _costs(ax: Any, comparison: Comparison, groups: Sequence[Group]) -> None:
    scale, marks = comparison.measure.scale, dict(zip(map(id, comparison.groups), pareto(comparison)))
    points = [(mean(group.cost("seconds")), scale * mean(group.values(comparison.metric))) for group in groups]
    for at, (group, (cost, value)) in enumerate(zip(groups, points)):
        size = 9 if marks[id(group)] else 5
        ax.plot([cost], [value], markersize=size, linestyle="none", **_style(at))
    line = sorted(point for group, point in zip(groups, points) if marks[id(group)])
    if line:
        ax.plot(*zip(*line), drawstyle="steps-post", color=GREY, linewidth=1, zorder=0)
    if points and max(cost for cost, _ in points) > 20 * max(1e-3, min(cost for cost, _ in points)):
        ax.set_xscale("log")
    ax.set_xlabel("cost, s (line: nothing is better and cheaper)", fontsize=8)
    ax.set_ylabel(comparison.measure.heading)
    _plain(ax)


def _plain(ax: Any) -> None:
    ax.grid(True, color="#e6e6e6", linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
