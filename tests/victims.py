"""Runs in processes of their own that may be killed, interrupted or paused at a chosen place.

They are forked from a server that has imported torch but run no op: an import a kill would cost seconds, and a pool
of OpenMP threads does not survive a fork. No test framework is imported here, for the server imports this file."""

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

PRELOADED = [
    "victims",
    "transfer_cli.engine.stage",
    "transfer_cli.config.compose",
    "transfer_cli.cli.run",
    "transfer_cli.cli.sweep",
    "transfer_cli.report.figures",
    "hydra.core.override_parser.overrides_parser",
    "matplotlib.backends.backend_agg",
]
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(PRELOADED)
Hook = Callable[[], None]


class Victim:
    """One command line in a process of its own. `at` is (stage, step) or "waiting"; there it does `what`: the number
    of a signal it sends itself, a path it appends a byte to, or a FIFO it writes to before it pauses."""

    def __init__(
        self,
        argv: Sequence[str],
        out: Path,
        *,
        at: tuple[str, int] | str | None = None,
        what: int | str = signal.SIGKILL,
        **environment: object,
    ) -> None:
        self.out = out
        settings = {name: str(value) for name, value in environment.items()}
        self.process = CONTEXT.Process(target=_live, args=(list(argv), str(out), at, what, settings))
        self.process.start()

    def kill(self) -> None:
        self.process.kill()

    def join(self) -> tuple[int, str]:
        """(exit code, or minus the signal; everything it printed)."""
        self.process.join()
        return self.process.exitcode or 0, self.out.read_text()


def run(argv: Sequence[str], out: Path, **how: Any) -> tuple[int, str]:
    return Victim(argv, out, **how).join()


def manifests(runs: Path) -> dict[str, bytes]:
    """MANIFEST.json of every stage that is done, by key; each checked against its files."""
    from transfer_cli.store.store import Store

    store = Store(runs / ".store", create=False)
    done = [key for key in store.keys() if store.verify(key)]
    return {key: (store.path(key) / "MANIFEST.json").read_bytes() for key in done}


def _live(argv: list[str], out: str, at: Any, what: int | str, environment: Mapping[str, str]) -> None:
    """In the child: output to a file, hooks, the command line, its exit code."""
    os.environ.update(environment)
    target = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(target, 1)
    os.dup2(target, 2)
    if at == "waiting":
        _hook_wait(lambda: _act(what))
    elif at is not None:
        _hook_step(at[0], at[1], lambda: _act(what))
    if "TRACE" in environment:
        _trace(Path(environment["TRACE"]))
    from transfer_cli.cli.main import main

    code = main(argv)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # as a command ends, but without the farewells of the fork server's imports


def _act(what: int | str) -> None:
    if isinstance(what, int):
        os.kill(os.getpid(), what)
    elif Path(what).is_fifo():
        Path(what).write_text("here")
        signal.pause()
    else:
        with open(what, "ab") as file:
            file.write(b" ")


def _hook_wait(act: Hook) -> None:
    from transfer_cli.store import lock

    holder = lock.holder

    def waiting(path: Path) -> str:
        act()
        return holder(path)

    lock.holder = waiting


def _hook_step(name: str, step: int, act: Hook) -> None:
    """`act` in stage `name` before step `step` (0: when the stage begins; also a stage without steps has that)."""
    from transfer_cli.engine import stage
    from transfer_cli.engine.loop import Training

    run_stage, one_step = stage.run_stage, Training.step
    now = [""]

    def begin(job: Any, *rest: Any) -> None:
        now[0] = job.name
        if (job.name, 0) == (name, step):
            act()
        run_stage(job, *rest)

    def move(self: Any, t: int) -> Any:
        if (now[0], t) == (name, step) and t > 0:
            act()
        return one_step(self, t)

    stage.run_stage, Training.step = begin, move


def _trace(path: Path) -> None:
    """Writes which I/O points the process passes, in which stage: one JSON line each."""
    from transfer_cli.engine import stage
    from transfer_cli.store import diskerrors

    run_stage, point = stage.run_stage, diskerrors.point
    now = [""]
    file = path.open("w", buffering=1)

    def begin(job: Any, *rest: Any) -> None:
        now[0] = job.name
        run_stage(job, *rest)
        now[0] = ""

    def noted(name: str, what: str = "") -> None:
        point(name, what)
        file.write(json.dumps([diskerrors.points(), now[0], name, what]) + "\n")

    stage.run_stage = begin
    for module in [m for n, m in sys.modules.items() if n.startswith("transfer_cli.") and hasattr(m, "point")]:
        module.point = noted  # type: ignore[attr-defined]
