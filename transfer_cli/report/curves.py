"""Learning curves of a group: the values that the last training stage of its runs logged, with mean and interval over
seeds."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from transfer_cli.analysis.groups import Group
from transfer_cli.analysis.results import Run
from transfer_cli.analysis.statistics import Interval, mean, t_interval
from transfer_cli.errors import TransferError
from transfer_cli.store.disk import read_file

Rows = Sequence[Mapping[str, Any]]
MOST = 100  # points of a curve; if there are more steps, neighbouring values of each seed are averaged


def of_groups(groups: Sequence[Group]) -> list[list[Rows]]:
    """For each group, the logged rows of each counted run."""
    return [[_logged(run) for run in group.counted] for group in groups]


def watched(groups: Iterable[Iterable[Rows]], names: Sequence[str]) -> str:
    """The validation column to draw, of the metrics in `names`. Columns of the target are preferred to those of the
    source; oracle columns, which use test rows, are never drawn. Empty if there is none."""
    columns = {key for group in groups for run in group for row in run for key in row}
    drawable = [key for key in columns if key.partition("/")[2] in names and not key.startswith("oracle")]
    return min(drawable, key=lambda key: (not key.startswith("target"), key), default="")


def curve(runs: Sequence[Rows], name: str) -> list[tuple[float, Interval]]:
    """Points (step, mean and interval over the runs that logged `name`), in order of the steps."""
    steps = sorted({row["step"] for run in runs for row in run if name in row})
    if not steps:
        return []
    wide = 1 if len(steps) <= MOST else (steps[-1] - steps[0] + 1) / MOST
    bins: dict[int, list[list[tuple[float, float]]]] = {}
    for at, run in enumerate(runs):
        for row in run:
            if name in row:
                place = int((row["step"] - steps[0]) / wide)
                bins.setdefault(place, [[] for _ in runs])[at].append((row["step"], row[name]))
    return [_point([seed for seed in of_seeds if seed]) for _, of_seeds in sorted(bins.items())]


def _point(seeds: Sequence[Sequence[tuple[float, float]]]) -> tuple[float, Interval]:
    step = mean([step for seed in seeds for step, _ in seed])
    return step, t_interval([mean([value for _, value in seed]) for seed in seeds])


def last_stage(run: Run) -> str:
    """The name of the last stage that trained or adapted a run's net; empty if its results do not name it."""
    worked = [stage.name for stage in run.stages if stage.key and stage.name != "evaluate"]
    return worked[-1] if worked else ""


def _logged(run: Run) -> Rows:
    """The rows that the last training stage of a run logged; empty if it does not train in steps or if the file cannot
    be read."""
    if run.path is None:
        return []
    try:
        rows = [json.loads(line) for line in read_file(run.path / "rows.jsonl").splitlines()]
        last = last_stage(run) or (rows[-1]["stage"] if rows else "")
        return [row for row in rows if row["stage"] == last]
    except (OSError, ValueError, KeyError, TypeError, TransferError):
        return []
