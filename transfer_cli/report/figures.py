"""Figures of a run: learning curves with borders between stages, the confusion matrix, and the most frequent
confusions. Uses matplotlib's object interface with Agg, so no window system and no global state are needed. A figure
that fails does not affect the others."""

import io
import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from transfer_cli.analysis import run_labels
from transfer_cli.analysis.metric import legacy_measure, watched_of
from transfer_cli.analysis.results import read
from transfer_cli.analysis.stored_scores import unpacked
from transfer_cli.errors import Fault, TransferError
from transfer_cli.legacy_measures import MEASURES
from transfer_cli.measures import Measure
from transfer_cli.report.renderers import render
from transfer_cli.report.tables import Column, Table
from transfer_cli.report.text import clean

Row = Mapping[str, Any]
# Okabe & Ito 2008: colours that can be distinguished with any colour vision; every line also has its own marker
STYLES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P"))
GREY = "#777777"
LEGACY_WATCHED = watched_of(MEASURES)
DPI = 200
WITH_COUNTS, WITH_NAMES = 20, 60  # the most classes for which cells show counts, and for which axes show names
LONGEST = 24  # letters of a class name on an axis


def draw(folder: Path) -> None:
    """Writes curves.png, confusion.png, confusions.csv and domains.png of the finished run in `folder`, as far as there
    is something to show. Raises TransferError that names the figures that failed; the others are written."""
    run, plan = read(folder), json.loads((folder / "plan.json").read_bytes())
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_bytes().splitlines()]
    title = f"{run.choices.get('strategy', 'run')}, {run_labels.path_of_data(run)}, run {run.id}"
    figures: dict[str, Callable[[Path], None]] = {}
    if rows:
        figures["curves.png"] = partial(curves, rows, title=title, measure_of=run.measure, watched=run.watched)
    scored, classes = _scored(folder, plan)
    if "confusion" in scored:
        figures["confusion.png"] = partial(confusion, scored["confusion"], classes, title=title)
        figures["confusions.csv"] = partial(_write_confusions, scored["confused"])
    if places := _places(folder, plan):
        figures["domains.png"] = partial(domains, places, title=title)
    failed = attempt(figures, folder)
    if failed:
        raise TransferError(*failed)


def _places(folder: Path, plan: Sequence[Row]) -> dict[str, Any]:
    """Coordinates of rows of source and target before and after an alignment; empty if there was none."""
    stage = next((stage for stage in plan if "domains" in stage["spec"]), None)
    if stage is None:
        return {}
    return unpacked((folder.parents[1] / ".store" / stage["key"] / "domains.safetensors").read_bytes())


def domains(places: Mapping[str, Any], path: Path, *, title: str = "") -> None:
    """Draws rows of both sides on their principal axes, before and after an alignment. Colours are classes; hollow
    markers are the target."""
    figure = new_figure(8.0, 4.0)
    for axes, when in zip(figure.subplots(1, 2), ("before", "after"), strict=True):
        for side, marker in (("source", "o"), ("target", "^")):
            rows, labels = places[f"{when}.{side}"], places[f"labels.{side}"]
            for label in sorted(set(labels.tolist())):
                colour = STYLES[label % len(STYLES)][0]
                of_class = rows[labels == label]
                face = colour if side == "source" else "none"
                axes.scatter(*of_class.T, s=9, marker=marker, facecolors=face, edgecolors=colour, linewidths=0.5)
        axes.set_title(f"{when} alignment: source ● target △", fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
    finish(figure, path, title)


def _scored(folder: Path, plan: Sequence[Row]) -> tuple[Row, list[str]]:
    """The stored results of the evaluate stage for the headline's snapshot, and the names of the classes."""
    stage = next((stage for stage in plan if stage["stage"] == "evaluate" and stage["key"]), None)
    if stage is None:
        return {}, []
    results = json.loads((folder.parents[1] / ".store" / stage["key"] / "results.json").read_bytes())
    return results["rules"][results["headline"]], stage["spec"]["classes"]


def attempt(figures: Mapping[str, Callable[[Path], None]], folder: Path) -> list[Fault]:
    """Draws each figure into `folder`; returns a fault for each that failed."""
    failed = []
    for name, paint in figures.items():
        try:
            paint(folder / name)
        except Exception as error:  # a missing font, a full disk, a bug of matplotlib: the results must not be lost
            text = f"figure {name} failed: {type(error).__name__}: {clean(str(error))}"
            failed.append(Fault("results are complete", text))
    return failed


def curves(
    rows: Sequence[Row],
    path: Path,
    *,
    title: str = "",
    measure_of: Callable[[str], Measure] = legacy_measure,
    watched: Sequence[str] = LEGACY_WATCHED,
) -> None:
    """Draws the loss above and the first validation metric below, over the steps of all stages. `rows`: stage, step and
    the logged values. `watched`: names of the metrics that are shown at validations, the preferred one first;
    `measure_of` returns the measure of a name."""
    starts, width = _starts(rows)
    columns = {key for row in rows for key in row if "/" in key}
    metric = next((name for name in watched if any(key.endswith(f"/{name}") for key in columns)), "")
    scored = sorted(key for key in columns if metric and key.endswith(f"/{metric}"))
    figure = new_figure(8.0, 5.0 if scored else 3.0)
    axes = figure.subplots(2 if scored else 1, 1, sharex=True, squeeze=False)[:, 0]
    _loss(axes[0], rows, starts)
    for number, key in enumerate(scored):
        _watched(axes[1], rows, starts, key, number, measure_of(metric))
    for ax in axes:
        _borders(ax, starts, width)
    _name_stages(axes[0], starts, width)
    axes[-1].set_xlabel("step")
    finish(figure, path, title)


def _starts(rows: Sequence[Row]) -> tuple[dict[str, int], int]:
    """The step at which each stage begins on the common axis, and the end of the last stage."""
    ends: dict[str, int] = {}
    for row in rows:
        ends[row["stage"]] = max(ends.get(row["stage"], 1), row["step"])
    starts, total = {}, 0
    for stage, end in ends.items():
        starts[stage] = total
        total += end
    return starts, max(1, total)


def _points(rows: Sequence[Row], starts: Mapping[str, int], stage: str, key: str) -> tuple[list[int], list[float]]:
    chosen = [row for row in rows if row["stage"] == stage and key in row]
    return [starts[stage] + row["step"] for row in chosen], [row[key] for row in chosen]


def _loss(ax: Any, rows: Sequence[Row], starts: Mapping[str, int]) -> None:
    for stage in starts:
        steps, losses = _points(rows, starts, stage, "loss")
        color = STYLES[0][0]
        ax.plot(steps, losses, color=color, alpha=0.35, linewidth=0.8)
        ax.plot(steps, _smooth(losses), color=color, linewidth=1.6)
    ax.set_ylabel("training loss")


def _smooth(values: Sequence[float], share: float = 0.05) -> list[float]:
    """Mean over a centred window of `share` of the values."""
    half = max(0, round(len(values) * share / 2))
    windows = [values[max(0, at - half) : at + half + 1] for at in range(len(values))]
    return [sum(window) / len(window) for window in windows]


def _watched(ax: Any, rows: Sequence[Row], starts: Mapping[str, int], key: str, number: int, measure: Measure) -> None:
    oracle = key.startswith("oracle")
    color, marker = (GREY, "x") if oracle else STYLES[number % len(STYLES)]
    label = "oracle: test, no result" if oracle else key.partition("/")[0]
    for stage in starts:
        steps, values = _points(rows, starts, stage, key)
        if steps:
            ax.plot(steps, [measure.scale * v for v in values], marker=marker, color=color, label=label, markersize=4,
                    linestyle=":" if oracle else "-", linewidth=1.4, clip_on=False)  # fmt: skip
            label = "_"  # a curve appears once in the legend
    ax.set_ylabel(f"validation {measure.heading}")
    ax.legend(fontsize=8, frameon=False, loc="best")


def _borders(ax: Any, starts: Mapping[str, int], width: int) -> None:
    ax.set_xlim(0, width)
    ax.margins(y=0.08)
    ax.grid(True, color="#e6e6e6", linewidth=0.6)
    ax.spines[["top", "right"]].set_visible(False)
    for start in list(starts.values())[1:]:
        ax.axvline(start, color=GREY, linestyle="--", linewidth=1)


def _name_stages(ax: Any, starts: Mapping[str, int], width: int) -> None:
    for (stage, start), (_, end) in pairwise([*starts.items(), ("", width)]):
        ax.text((start + end) / 2, 1.02, clean(stage), transform=ax.get_xaxis_transform(), ha="center", fontsize=9,
                parse_math=False)  # fmt: skip


def confusion(table: Sequence[Sequence[int]], classes: Sequence[str], path: Path, *, title: str = "") -> None:
    """Draws the confusion matrix: rows are the true class and sum to 100 %; cells show counts up to 20 classes, and
    axes show names up to 60."""
    import numpy as np
    from matplotlib.colors import PowerNorm

    counts = np.asarray(table, dtype=np.int64)
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    side = min(11.0, max(4.2, 2.2 + 0.36 * len(counts)))
    figure = new_figure(side + 0.9, side)
    ax = figure.subplots()
    # with many classes, each error is a few %: a square-root scale makes it visible
    scale = PowerNorm(1.0 if len(counts) <= WITH_COUNTS else 0.5, vmin=0, vmax=100)
    image = ax.imshow(100 * shares, cmap="Blues", norm=scale, interpolation="nearest")
    figure.colorbar(image, ax=ax, label="% of the true class", fraction=0.046, pad=0.03)
    if len(counts) <= WITH_COUNTS:
        _write_counts(ax, counts, shares)
    if len(counts) <= WITH_NAMES:
        _name_classes(ax, classes)
    ax.set_xlabel("taken for")
    ax.set_ylabel("is")
    finish(figure, path, title)


def _write_counts(ax: Any, counts: Any, shares: Any) -> None:
    size = 8 if len(counts) <= 12 else 6
    for row, column in zip(*counts.nonzero()):
        color = "white" if shares[row, column] > 0.55 else "black"
        ax.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=color, fontsize=size)


def _name_classes(ax: Any, classes: Sequence[str]) -> None:
    shown = [name if len(name) <= LONGEST else name[: LONGEST - 1] + "…" for name in map(clean, classes)]
    upright = max(map(len, shown)) * len(shown) <= 40
    ax.set_xticks(range(len(shown)), shown, rotation=0 if upright else 90, fontsize=8, parse_math=False)
    ax.set_yticks(range(len(shown)), shown, fontsize=8, parse_math=False)


def top_confusions(confused: Sequence[Row]) -> Table:
    """The most frequent confusions of two classes, with the names of example rows. `confused`: entries with `is`,
    `taken_for`, `count` and `rows`."""
    columns = [
        Column("is"),
        Column("taken_for", head="taken for"),
        Column("count", "n"),
        Column("rows", head="for example"),
    ]
    rows = [{**row, "rows": ", ".join(row["rows"])} for row in confused]
    return Table(columns, rows, title="confused most often", schema="confusions/1")


def _write_confusions(confused: Sequence[Row], path: Path) -> None:
    _put(path, render(top_confusions(confused), "csv").encode())


def new_figure(width: float, height: float) -> Any:
    """An empty figure of this size in inches, which needs no window system."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def finish(figure: Any, path: Path, title: str) -> None:
    """Writes the figure as PNG, atomically."""
    if title:
        figure.suptitle(clean(title), fontsize=10, parse_math=False)
    data = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the font may lack the script of a class name: boxes are drawn
        figure.savefig(data, format="png", metadata={"Software": None})
    _put(path, data.getvalue())


def _put(path: Path, data: bytes) -> None:
    """Writes a file atomically."""
    half = path.with_name(f".{path.name}.tmp")
    half.write_bytes(data)
    os.replace(half, path)
