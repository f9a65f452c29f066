"""Tables of a run's metrics on views of its test rows (domains, groups of classes, attacks) and at the marks of its
training. A table without rows is left out."""

from collections.abc import Sequence

from transfer_cli.analysis.results import Run, View
from transfer_cli.measures import Measure
from transfer_cli.report.labels import unit_of
from transfer_cli.report.tables import Column, Table

TEST = "test"  # the view of all test rows


def view_tables(run: Run) -> list[Table]:
    """The table of views, for the headline's net, and the table of marks; only those that have rows."""
    views = [view for view in run.views if view.net == run.rule]
    marks = _at_marks(run)
    return [*([_views(run, views)] if views else []), *([_marks(run, marks)] if marks else [])]


def _at_marks(run: Run) -> list[View]:
    """The primary metric of the nets that were handed on at marks, on all test rows and on each view."""
    primary = run.headline.metric.name if run.headline is not None else ""
    rows = []
    for net in run.marks:
        metric = run.metric(primary, net)
        rows += [View(net, TEST, "", metric)] if metric is not None else []
        viewed = [view for view in run.views if view.net == net and view.metric.name == primary]
        rows += [view for view in viewed if metric is None or view.view != TEST]
    return rows


def _columns(views: Sequence[View]) -> list[Column]:
    measures = {view.metric.name: view.metric.measure for view in views}
    return [_column(name, measure) for name, measure in measures.items()]


def _column(name: str, measure: Measure) -> Column:
    """The column of a metric. Screens show the metrics of a validation; others, such as means over classes, mislead on
    rows of some classes only, and are in machine formats."""
    shown = measure.primary or measure.watched
    return Column(name, unit_of(measure), measure.heading, "right", True, only=None if shown else "machine")


def _views(run: Run, views: Sequence[View]) -> Table:
    """A table with one row for each view and task; the column task is left out if there is only one."""
    rows: dict[tuple[str, str], dict[str, object]] = {}
    for view in views:
        row = rows.setdefault(
            (view.view, view.task), {"view": view.view, "task": view.task, "n": view.metric.n or None}
        )
        row[view.metric.name] = view.metric.interval
    tasks = [Column("task")] if len({view.task for view in views}) > 1 else []
    columns = [Column("view"), *tasks, *_columns(views), Column("n", "n")]
    return Table(columns, list(rows.values()), title=f"Views of the test rows, rule {run.rule}", schema="views/1")


def _marks(run: Run, marks: Sequence[View]) -> Table:
    """A table with one row for each mark: the step at which the net was handed on, and the primary metric."""
    several = len({view.view for view in marks}) > 1
    rows = [
        {"net": view.net, "step": run.step(view.net), "view": view.view, view.metric.name: view.metric.interval}
        for view in marks
    ]
    columns = [Column("net"), Column("step", "n"), *([Column("view")] if several else []), *_columns(marks)]
    return Table(columns, rows, title="At the marks of the training", schema="marks/1")
