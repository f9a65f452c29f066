"""transfer serve RUN: serves a local page for a finished run. The page shows the class of a picture that is dropped on
it or of a text that is typed, and the reasons for it."""

import json
import sys

from transfer_cli.analysis.results import Run
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.extras import extra
from transfer_cli.report.screen import Screen
from transfer_cli.runner.loaded import finished_run, load_net
from transfer_cli.runner.options import Options
from transfer_cli.safe import safe


def main(options: Options) -> int:
    """Example: transfer serve last --port 8000. Ctrl-C ends it with exit code 0."""
    for library in ("starlette", "uvicorn"):
        extra(library, "serve", "serve")
    if len(options.args) > 1:
        raise ConfigError(Fault(" ".join(options.args), "serve takes one run", do="transfer serve last"))
    run = finished_run(options, options.args, options.words)
    from transfer_cli.serve.server import listening, serve

    with listening(options.port) as socket:  # before the net is loaded, so that a busy port is reported at once
        port = socket.getsockname()[1]
        net = load_net(run, options, "serve")
        from transfer_cli.serve.about import about
        from transfer_cli.serve.answers import Answers
        from transfer_cli.serve.app import application

        app = application(Answers(net), about(Run.of(run)), port, lambda line: print(safe(line), file=sys.stderr))
        serve(app, socket, lambda: _announce(run["id"], port, Screen.of(options)))
    return 0


def _announce(name: str, port: int, screen: Screen) -> None:
    address = f"http://127.0.0.1:{port}"
    if screen.json:
        screen.write(json.dumps({"schema": "serve/1", "run": name, "address": address, "port": port}) + "\n")
        return
    screen.write(f"serving run {safe(name)} at {address}  (Ctrl-C ends it)\n")
