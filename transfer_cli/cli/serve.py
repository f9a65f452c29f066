"""transfer serve RUN: a page on this machine for a finished run, which says class and reasons of a picture that is
dropped on it or a text that is typed."""

import json
import sys
from dataclasses import replace
from typing import Any

from transfer_cli.analysis import numbers, run_labels
from transfer_cli.analysis.results import Headline, Run
from transfer_cli.cli.options import Options
from transfer_cli.cli.predict import answering, finished
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.extras import extra
from transfer_cli.report.labels import cell
from transfer_cli.report.screen import Screen
from transfer_cli.safe import safe


def main(options: Options) -> int:
    """Example: transfer serve last --port 8000. Ends with Ctrl-C, and then well."""
    for library in ("starlette", "uvicorn"):
        extra(library, "serve", "serve")
    if len(options.args) > 1:
        raise ConfigError(Fault(" ".join(options.args), "serve takes one run", do="transfer serve last"))
    words = tuple(word for word in options.words if not word.startswith("plugins="))
    run = finished(replace(options, words=words))
    from transfer_cli.serve.server import listening, serve

    with listening(options.port) as made:
        port = made.getsockname()[1]
        predicting = answering(run, options)
        from transfer_cli.serve.answers import Answers
        from transfer_cli.serve.app import application

        app = application(
            Answers(predicting), about(Run.of(run)), port, lambda line: print(safe(line), file=sys.stderr)
        )
        serve(app, made, lambda: _announce(run["id"], port, Screen.of(options)))
    return 0


def about(run: Run) -> dict[str, Any]:
    """What the page says of a run: what it is called, its words and its result."""
    return {
        "id": run.id,
        "strategy": run.choices.get("strategy", ""),
        "data": run_labels.data(run),
        "model": run.choices.get("model", ""),
        "headline": run.document["headline"],
        "result": _result(run.headline) if run.headline is not None else "",
    }


def _result(head: Headline) -> str:
    """`accuracy 93.5 ±4.0 % of 153 test pictures`"""
    measure = head.metric.measure
    text = f"{measure.label} {cell(head.metric, head.rule)}{measure.suffix}"
    return f"{text} of {numbers.count(head.metric.n)} {head.over}"


def _announce(name: str, port: int, screen: Screen) -> None:
    address = f"http://127.0.0.1:{port}"
    if screen.json:
        screen.write(json.dumps({"schema": "serve/1", "run": name, "address": address, "port": port}) + "\n")
        return
    screen.write(f"serving run {safe(name)} at {address}  (Ctrl-C ends it)\n")
