"""Facts about the run that the page of `transfer serve` shows: name, choices and result."""

from typing import Any

from transfer_cli.analysis import numbers, run_labels
from transfer_cli.analysis.results import Headline, Run
from transfer_cli.report.labels import cell


def about(run: Run) -> dict[str, Any]:
    """The JSON object with the facts of `run`."""
    return {
        "id": run.id,
        "strategy": run.choices.get("strategy", ""),
        "data": run_labels.data(run),
        "model": run.choices.get("model", ""),
        "headline": run.document["headline"],
        "result": _result(run.headline) if run.headline is not None else "",
    }


def _result(head: Headline) -> str:
    """The headline result: `accuracy 93.5 ±4.0 % of 153 test pictures`."""
    measure = head.metric.measure
    text = f"{measure.label} {cell(head.metric, head.rule)}{measure.suffix}"
    return f"{text} of {numbers.count(head.metric.n)} {head.over}"
