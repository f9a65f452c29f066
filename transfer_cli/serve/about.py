"""What the page of `transfer serve` says of its run: its name, its words and its result."""

from typing import Any

from transfer_cli.analysis import numbers, run_labels
from transfer_cli.report.run_screen import cell


def about(run: dict[str, Any]) -> dict[str, Any]:
    """The facts of a run's results.json that the page shows."""
    choices, head = run["choices"], run.get("headline")
    return {
        "id": run["id"],
        "strategy": choices.get("strategy", ""),
        "data": run_labels.data(run),
        "model": choices.get("model", ""),
        "headline": head,
        "result": _result(run, head) if head else "",
    }


def _result(run: dict[str, Any], head: dict[str, Any]) -> str:
    """`accuracy 93.5 ±4.0 % of 153 test pictures`"""
    text = cell(run["metrics"][head["rule"]], head["name"], head["rule"])
    unit = " %" if run_labels.is_share(head["name"]) else ""
    return f"{run_labels.label(head['name'])} {text}{unit} of {numbers.count(head['n'])} {head['over']}"
