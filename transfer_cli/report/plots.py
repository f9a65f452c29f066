"""The figure of a comparison: a bar a group with its interval and a dot a seed, the curves of validation, and accuracy
against cost with the Pareto line. Colours are doubled by markers; the same group has the same everywhere."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transfer_cli.errors import Fault, StoreError, TransferError
from transfer_cli.report import names
from transfer_cli.report.comparison import Comparison, pareto
from transfer_cli.report.figures import GREY, STYLES, WATCHED, finish, new_figure
from transfer_cli.report.groups import Group, Run
from transfer_cli.report.statistics import mean
from transfer_cli.report.text import clean
from transfer_cli.store.disk import read_file

MOST = 24  # groups drawn, the best
LONGEST = 40  # letters of a label
Curve = list[tuple[int, float]]


def draw(found: Comparison, path: Path, title: str = "") -> None:
    """Draws the best groups into `path`. Raises StoreError if it cannot be written."""
    groups = found.done[:MOST]
    figure = new_figure(8.0, 5.6 + 0.32 * len(groups))
    heights = [1.2 + 0.32 * len(groups), 4.0]
    top, bottom = figure.subfigures(2, 1, height_ratios=heights)
    _bars(top.subplots(), found, groups)
    left, right = bottom.subplots(1, 2)
    _curves(left, found, groups)
    _costs(right, found, groups)
    try:
        finish(figure, path, title)
    except OSError as error:
        raise StoreError(Fault("--plot", f"cannot be written: {error.strerror}", str(path))) from error


def _scale(found: Comparison) -> int:
    return 100 if names.is_share(found.metric) else 1


def _style(number: int) -> dict[str, Any]:
    color, marker = STYLES[number % len(STYLES)]
    return {"color": color, "marker": marker}


def _bars(ax: Any, found: Comparison, groups: Sequence[Group]) -> None:
    scale, seen = _scale(found), []
    for at, group in enumerate(groups):
        interval, values = found.interval(group), [scale * value for value in group.values(found.metric)]
        assert interval is not None
        half = scale * interval.half
        ax.errorbar(mean(values), at, xerr=half if half == half else None, capsize=4, markersize=7, **_style(at))
        ax.plot(values, [at + 0.22] * len(values), ".", color=GREY, markersize=4)
        seen += [*values, *([scale * interval.lo, scale * interval.hi] if half == half else [])]
    for base in {id(v.base): v.base for v in found.verdicts if v.base is not None and v.base.counted}.values():
        ax.axvline(scale * mean(base.values(found.metric)), color=GREY, linestyle=":", linewidth=1)
    ax.set_yticks(range(len(groups)), [_label(group, found) for group in groups], fontsize=8, parse_math=False)
    ax.set_ylim(len(groups) - 0.4, -0.6)
    ax.set_xlabel(f"{names.heading(found.metric)}, {'± 95 %, a dot a seed' if not found.single else 'one seed each'}")
    _plain(ax)


def _label(group: Group, found: Comparison) -> str:
    text = clean(group.label(found.words))
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _curves(ax: Any, found: Comparison, groups: Sequence[Group]) -> None:
    """Mean over seeds of what was watched in the last training stage."""
    ylabel = ""
    for at, group in enumerate(groups):
        name, curve = _curve(group.counted)
        if curve:
            scale = 100 if names.is_share(name.partition("/")[2]) else 1
            steps, values = zip(*curve)
            ax.plot(steps, [scale * value for value in values], markersize=4, linewidth=1.4, **_style(at))
            ylabel = f"validation {names.heading(name.partition('/')[2])}"
    ax.set_xlabel("step of the last stage" if ylabel else "nothing was validated in the last stages")
    ax.set_ylabel(ylabel)
    _plain(ax)


def _curve(runs: Sequence[Run]) -> tuple[str, Curve]:
    """What was watched on the target (else on the source), and at each step its mean over the runs that have it."""
    rows = [_last_stage(run) for run in runs]
    seen = {key for each in rows for row in each for key in row}
    wanted = [f"{side}_val/{metric}" for side in ("target", "source") for metric in WATCHED]
    wanted += sorted(key for key in seen if not key.startswith("oracle") and key.partition("/")[2] in WATCHED)
    name = next((key for key in wanted if key in seen), "")
    by_step: dict[int, list[float]] = {}
    for row in (row for each in rows for row in each if name in row):
        by_step.setdefault(row["step"], []).append(row[name])
    return name, [(step, mean(values)) for step, values in sorted(by_step.items())]


def _last_stage(run: Run) -> list[Mapping[str, Any]]:
    """Rows that the last training stage of a run logged; none where there are none to read."""
    try:
        rows = [json.loads(line) for line in read_file(Path(run["path"]) / "rows.jsonl").splitlines()]
    except (OSError, ValueError, KeyError, TransferError):
        return []
    last = rows[-1]["stage"] if rows else ""
    return [row for row in rows if row["stage"] == last]


def _costs(ax: Any, found: Comparison, groups: Sequence[Group]) -> None:
    scale, marks = _scale(found), dict(zip(map(id, found.groups), pareto(found)))
    points = [(mean(group.cost("seconds")), scale * mean(group.values(found.metric))) for group in groups]
    for at, (group, (cost, value)) in enumerate(zip(groups, points)):
        size = 9 if marks[id(group)] else 5
        ax.plot([cost], [value], markersize=size, linestyle="none", **_style(at))
    line = sorted(point for group, point in zip(groups, points) if marks[id(group)])
    if line:
        ax.plot(*zip(*line), drawstyle="steps-post", color=GREY, linewidth=1, zorder=0)
    if points and max(cost for cost, _ in points) > 20 * max(1e-3, min(cost for cost, _ in points)):
        ax.set_xscale("log")
    ax.set_xlabel("cost, seconds (line: nothing is better and cheaper)")
    ax.set_ylabel(names.heading(found.metric))
    _plain(ax)


def _plain(ax: Any) -> None:
    ax.grid(True, color="#e6e6e6", linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
