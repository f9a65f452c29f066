"""One run: opens its directory, computes its stages, and writes its results and artifacts."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from transfer_cli.analysis.results import Run
from transfer_cli.config.values import seconds
from transfer_cli.errors import Fault, ResourceError, Stopped, TransferError
from transfer_cli.plan.plan import Plan
from transfer_cli.report import run_screen
from transfer_cli.report.live.progress_file import ProgressFile
from transfer_cli.report.live.run_display import Talk, talk
from transfer_cli.report.screen import Screen
from transfer_cli.rundir.rundir import RunDir
from transfer_cli.runner import processes
from transfer_cli.runner.artifacts import write_artifacts
from transfer_cli.runner.executor import Execution, ExecutionSettings
from transfer_cli.runner.options import Options
from transfer_cli.safe import hide_places, safe, scrub
from transfer_cli.signals import Stop
from transfer_cli.store.store import Store

BUSY_SHARE = 0.6  # a load above this share of the cores means that other programs use them


def run_one(plan: Plan, options: Options, screen: Screen) -> int:
    """Computes one run in this process, with its live display and its results, or this process's part of a run of
    several processes. Returns the exit code."""
    if not is_cached(plan, options.runs):
        quiet_threads()
        if processes.to_start(plan):
            return processes.launch(plan, options)
    if processes.rank():
        return processes.follow(plan, options)
    sweep, began = processes.of_sweep()
    stop = stop_of(plan, began)
    if sweep:
        return run_of_sweep(plan, options, sweep, stop)
    run = run_on_screen(plan, options, screen, stop)
    run_screen.results(Run.of(run.data), screen, run.path)
    return 0


def run_of_sweep(plan: Plan, options: Options, sweep: str, stop: Stop) -> int:
    """Computes one run of a sweep, whose terminal reads the progress from a file. Returns the exit code."""
    run = open_run(plan, options, sweep=sweep)
    work(plan, run, options, ProgressFile(run.path), stop)
    write_artifacts(run)
    return 0


def run_on_screen(plan: Plan, options: Options, screen: Screen, stop: Stop) -> RunDir:
    """Computes `plan` with its live display, then draws its figures; returns the finished run."""
    run, display = open_run(plan, options), talk(screen)
    display.note(run_screen.header(Run.of(run.data)))
    if run.continued:
        display.note(f"goes on in {run.path}")
    for stage in plan.stages:
        display.stage(stage.name, "to do" if stage.key else "none", stage.what)
    work(plan, run, options, display, stop)
    write_artifacts(run, screen.note)
    return run


def stop_of(plan: Plan, began: float | None = None) -> Stop:
    """The object that stops a run at a signal or after runtime.max_time, which counts from `began` (time.monotonic),
    else from now."""
    stop, limit = Stop().watch(), plan.values["runtime"]["max_time"]
    return stop.limit(seconds(limit), f"runtime.max_time={limit}", began) if limit else stop


def quiet_threads(at_once: int = 1) -> None:
    """Makes waiting OpenMP threads sleep instead of spin if the machine is busy or several runs are computed. It has no
    effect after torch was imported, and does not change any result."""
    busy = at_once > 1 or os.getloadavg()[0] > BUSY_SHARE * (os.cpu_count() or 1)
    if "torch" not in sys.modules and busy:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def is_cached(plan: Plan, runs: Path) -> bool:
    """Whether every stage is in the store, so that the run needs no torch."""
    store = Store(runs / ".store", create=False)
    return all(store.done(stage.key) for stage in plan.work)


def open_run(plan: Plan, options: Options, *, sweep: str = "", among: Sequence[Path] | None = None) -> RunDir:
    """The directory of this run: its newest unfinished one, else a new one. `among`: the only directories to search,
    where the ledger of a sweep lists them."""
    import yaml

    config = plan.config
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)  # the same text, ten times faster
    return RunDir.open(
        options.runs,
        f"{_slug(config.choices['strategy'])}-{_slug(config.choices['data'])}",
        digest_of(plan.values),
        words=config.words,
        config=plan.values,
        config_text=yaml.dump(scrub(plan.values), Dumper=dumper, sort_keys=False, allow_unicode=True),
        choices=config.choices,
        argv=["transfer", options.command, *config.words],
        sweep=sweep,
        among=among,
    )


def digest_of(values: Any) -> str:
    """The sha256 of `values` as JSON; it is equal for two commands with the same resolved configuration."""
    return sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()


def _slug(name: str) -> str:
    """A part of a folder's name: the last part of a path, in which only letters, digits and `._-` remain."""
    cleaned = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in Path(name).name)[:30]
    return cleaned.lstrip("._-") or "own"


def work(plan: Plan, run: RunDir, options: Options, talk: Talk, stop: Stop) -> dict[str, Any]:
    """Computes `plan` in `run`; returns the content of results.json. An error is recorded in the directory, then
    raised."""
    try:
        run.write_json("plan.json", [_planned(stage) for stage in plan.stages])
        store = Store(options.runs / ".store")
        store.after_cleaning(stop)
        with _memory():
            run.update(Execution(plan, run, execution_settings(options), talk, stop).complete())
        rows = _rows(plan, store)
        run.write("rows.jsonl", "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
        run.write("metrics.csv", metrics_csv(run.data, rows))
        run.close("done", 0)
    except BaseException as error:
        _record(run, error)
        raise
    finally:
        talk.close()
    return run.data


def _planned(stage: Any) -> dict[str, Any]:
    return {"stage": stage.name, "key": stage.key, "method": stage.method, "what": stage.what, "spec": stage.spec}


def execution_settings(options: Options) -> ExecutionSettings:
    return ExecutionSettings(
        options.runs, options.wait, options.no_cache, options.retry_failed, options.strict_identity, options.jobs
    )


@contextmanager
def _memory() -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(t in str(error) for t in ("out of memory", "t allocate memory")):
            raise
        raise ResourceError(Fault("out of memory", "this run needs more", do="a smaller trainer.batch")) from error


def _record(run: RunDir, error: BaseException) -> None:
    """Records in the run's directory an error or an interrupt that ended it. Finished stages stay in the store."""
    with suppress(TransferError):  # a second error, such as a full disk, must not hide the first one
        run.log_error(error)
        code = error.code if isinstance(error, TransferError) else 1
        run.update({"fault": fault_of(error)})
        run.close("interrupted" if isinstance(error, Stopped) else "failed", code)


def fault_of(error: BaseException) -> str:
    """The fault as one line, for results.json and the ledger; the log has the traceback."""
    if isinstance(error, TransferError) and error.faults:
        return safe(hide_places(error.faults[0].line()))
    return safe(hide_places(f"{type(error).__name__}: {' '.join(str(error).split())}"))


def _rows(plan: Plan, store: Store) -> list[dict[str, Any]]:
    """The logged rows of all stages, each with the name of its stage."""
    rows: list[dict[str, Any]] = []
    for stage in plan.work:
        if "rows.jsonl" in store.files(stage.key):
            lines = store.read(stage.key, "rows.jsonl").splitlines()
            rows += [{"stage": stage.name, **json.loads(line)} for line in lines]
    return rows


def metrics_csv(results: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Lines `stage,step,name,value`: first the logged values of training, then the test metrics of each rule."""
    lines = ["stage,step,name,value"]
    for row in rows:
        named = [(name, value) for name, value in row.items() if name not in ("stage", "step")]
        lines += [f"{row['stage']},{row['step']},{name},{value!r}" for name, value in named]
    for rule, metrics in results["metrics"].items():
        step = metrics.get("step", "")
        lines += [f"evaluate,{step},{_cell(f'{rule}:{name}')},{value!r}" for name, value in metrics.items()]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """A name as a CSV cell. Names of classes come from the user and may contain commas or quotes."""
    return '"' + text.replace('"', '""') + '"' if set(text) & set(',"\n\r') else text
