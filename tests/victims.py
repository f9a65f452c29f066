"""Runs in processes of their own that are killed, interrupted or paused at a chosen place.

They are forked from a server that has imported torch but run no op: an import a kill would cost seconds, and a pool
of OpenMP threads does not survive a fork. No test framework is imported here, for the server imports this file."""

import json
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PRELOADED = [
    "victims",
    "torch._dynamo",
    "transfer_cli.engine.stage",
    "transfer_cli.config.compose",
    "transfer_cli.runner.single_run",
    "transfer_cli.report.figures",
    "hydra.core.override_parser.overrides_parser",
    "matplotlib.backends.backend_agg",
]
CONTEXT = multiprocessing.get_context("forkserver")
Place = tuple[str, int | str] | str  # (stage, step), (stage, "rename DONE") or "waiting"
Act = tuple[
    str, Any
]  # ("signals", [numbers]) to itself; ("pause" | "tell", FIFO); ("spoil", file); ("raise", text); ("late", seconds)
KILL: Act = ("signals", [signal.SIGKILL])


class Victim:
    """One command line in a process of its own, which does `act` when it comes to `at` for the first time."""

    def __init__(
        self, argv: Sequence[str], out: Path, *, at: Place | None = None, act: Act = KILL, **environment: object
    ) -> None:
        CONTEXT.set_forkserver_preload(PRELOADED)
        self.out = out
        settings = {name: str(value) for name, value in environment.items()}
        self.process = CONTEXT.Process(target=_live, args=(list(argv), str(out), at, act, settings))
        self.process.start()

    def kill(self) -> None:
        self.process.kill()

    def join(self) -> tuple[int, str]:
        """(exit code, or minus the signal; everything it printed)."""
        self.process.join()
        return self.process.exitcode or 0, self.out.read_text()


def run(argv: Sequence[str], out: Path, **how: Any) -> tuple[int, str]:
    out.unlink(missing_ok=True)
    return Victim(argv, out, **how).join()


def manifests(runs: Path) -> dict[str, bytes]:
    """MANIFEST.json of every stage that is done, by key; each checked against its files."""
    from transfer_cli.store.store import Store

    store = Store(runs / ".store", create=False)
    keys = store.keys()
    return {key: (store.path(key) / "MANIFEST.json").read_bytes() for key in keys if store.verify(key)}


def traced(path: Path) -> list[tuple[str, str]]:
    """What a run with TRACE=path passed: (stage, "rename DONE"), in order, each place once."""
    return list(dict.fromkeys((stage, place) for stage, place in map(json.loads, path.read_text().splitlines())))


def _live(argv: list[str], out: str, at: Place | None, act: Act, environment: dict[str, str]) -> None:
    """In the child: output to a file, hooks, the command line, its exit code."""
    os.environ.update(environment)
    target = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(target, 1)
    os.dup2(target, 2)
    _hook(at, lambda: _do(*act))
    if "FORGET" in environment:
        _forget()
    from transfer_cli.cli.main import main
    from transfer_cli.runner import single_run

    single_run.write_artifacts = lambda *_: None  # type: ignore[attr-defined]  # figures would take most of the time
    code = main(argv)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # as a command ends, but without the farewells of what the server imported


def _do(what: str, with_what: Any) -> None:
    if what == "signals":
        for number in with_what:
            os.kill(os.getpid(), number)
    elif what == "late":
        from types import SimpleNamespace

        from transfer_cli import signals

        signals.time = SimpleNamespace(monotonic=lambda: time.monotonic() + with_what)  # type: ignore[assignment]
    elif what == "raise":
        raise ValueError(with_what)
    elif what == "spoil":
        with open(with_what, "ab") as file:
            file.write(b"\n# changed\nCHANGED = 1\n")
    else:
        Path(with_what).write_text("here")
        if what == "pause":
            signal.pause()


def _hook(at: Place | None, act: Callable[[], None]) -> None:
    """Sets `act` at the place; with TRACE in the environment every I/O point goes to that file."""
    from transfer_cli.engine import stage
    from transfer_cli.engine.training_step import Training
    from transfer_cli.store import diskerrors, lock

    run_stage, one_step, point, holder = stage.run_stage, Training.step, diskerrors.point, lock.holder
    now, done = [""], [at is None]
    trace = os.environ.get("TRACE")

    def here(place: Place) -> None:
        if place == at and not done[0]:
            done[0] = True
            act()

    def begin(job: Any, *rest: Any) -> None:
        now[0] = job.name
        here((job.name, 0))
        run_stage(job, *rest)
        now[0] = ""

    def move(self: Any, t: int) -> Any:
        here((now[0], t) if t else "")
        return one_step(self, t)

    def noted(name: str, file: str = "") -> None:
        place = (now[0], f"{name} {_plain(file)}")
        here(place)
        if trace:
            with open(trace, "a") as file_of_places:
                file_of_places.write(json.dumps(place) + "\n")
        point(name, file)

    def waiting(path: Path) -> str:
        here("waiting")
        return holder(path)

    stage.run_stage, Training.step, lock.holder = begin, move, waiting  # type: ignore[method-assign]
    for name, module in list(sys.modules.items()):
        if name.startswith("transfer_cli.") and getattr(module, "point", None) is point:
            module.point = noted  # type: ignore[attr-defined]


def _plain(file: str) -> str:
    """A name without what differs from run to run: keys, hashes, ids."""
    return re.sub(r"-?[0-9a-f]{32}|\d{8}T\d{6}Z-\w{6}", "#", file)


def _forget() -> None:
    """A resume that leaves out the optimiser: what the comparison of manifests must notice."""
    from transfer_cli.engine import param_groups

    param_groups.load_state = lambda groups, tensors: None
