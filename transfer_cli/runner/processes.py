"""Several processes for one run, started here with torch's launcher or by torchrun. Each executes the same command.
Rank 0 is the run; the other ranks compute the same steps and write nothing. torch is imported only where it is
needed."""

import os
import signal
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from transfer_cli.errors import ConfigError, Fault, ResourceError
from transfer_cli.plan.plan import Plan, Stage
from transfer_cli.report.live.run_display import Talk
from transfer_cli.runner.options import Options
from transfer_cli.signals import RELAY, Stop
from transfer_cli.store.store import Store

if TYPE_CHECKING:
    from transfer_cli.engine.ranks import Ranks

SWEEP = "TRANSFER_SWEEP"  # environment variable: the sweep of this run, and when the sweep began
PACKAGE = Path(__file__).resolve().parents[2]
# options of `transfer run` that the processes of one run need as well, with their fields in Options
SWITCHES = {
    "--retry-failed": "retry_failed",
    "--no-cache": "no_cache",
    "--strict-identity": "strict_identity",
    "--offline": "offline",
    "--json": "json",
    "--quiet": "quiet",
    "--verbose": "verbose",
    "--debug": "debug",
    "--plain": "plain",
}
VALUES = {
    "--wait": "wait",
    "--config-dir": "config_dirs",
    "--format": "format",
    "--out": "out",
    "--color": "color",
    "--runs": "runs",
}


class Place(NamedTuple):
    """The device of this process and, if there are several, the connections to the other ranks."""

    device: Any
    ranks: "Ranks | None"


def rank() -> int:
    """The rank of this process in its run, set by torch's launcher; 0 if it is the only process."""
    return int(os.environ.get("RANK", 0)) if world() > 1 else 0


def world() -> int:
    """The number of processes that torch's launcher started; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "RANK" in os.environ else 1


def to_start(plan: Plan) -> bool:
    """Whether the processes of the run must still be started. Raises ConfigError if torchrun started another number
    than the words say."""
    processes = plan.values["runtime"]["processes"]
    if world() == processes == 1 and plan.values["runtime"]["shard"]:
        raise ConfigError(Fault("runtime.shard", "shares need several processes", "true", do="runtime=ddp"))
    if world() > 1 and processes not in ("auto", world()):
        raise ConfigError(Fault("runtime.processes", f"{world()} were started", str(processes), do="runtime=ddp"))
    return world() == 1 and processes != 1


def of_sweep() -> tuple[str, float | None]:
    """The id of the sweep of this run, and when the sweep began (time.monotonic); "" and None without a sweep."""
    sweep, _, began = os.environ.get(SWEEP, "").partition(" ")
    return sweep, float(began) if began else None


def launch(plan: Plan, options: Options, sweep: str = "", began: float = 0.0) -> int:
    """Starts the processes of a run, which may belong to a sweep, and waits for them. Returns the exit code of rank 0,
    which prints its own errors. Raises ResourceError if a process was killed before rank 0 could report it."""
    from transfer_cli.engine.launch import places, start

    processes, device = plan.values["runtime"]["processes"], plan.values["runtime"]["device"]
    count = places(device) if processes == "auto" else int(processes)
    _environment(count * options.jobs)
    if sweep:
        os.environ[SWEEP] = f"{sweep} {began}"
    # in a sweep, the sweep forwards Ctrl-C
    signals = ("SIGTERM", "SIGHUP", RELAY.name, *([] if sweep else ["SIGINT"]))
    ended = start(count, ["transfer_cli", *_argv(plan, options)], signals)
    if ended.signum:
        return 128 + (signal.SIGINT if ended.signum == RELAY else ended.signum)
    return _code(dict(ended.codes), count) if ended.codes else 0


def _environment(at_once: int) -> None:
    """Sets the environment of the processes: the number of cores for each of `at_once` processes, the path of this
    package, and a log level at which torch prints errors only."""
    share = max(1, len(os.sched_getaffinity(0)) // at_once)
    os.environ.setdefault("OMP_NUM_THREADS", str(share))
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE), os.environ.get("PYTHONPATH")]))


def _argv(plan: Plan, options: Options) -> list[str]:
    """The command line of each process of this run."""
    switches = [name for name, field in SWITCHES.items() if getattr(options, field)]
    values = []
    for name, field in VALUES.items():
        value = getattr(options, field)
        values += [
            f"{name}={_text(one)}" for one in (value if isinstance(value, tuple) else (value,)) if one is not None
        ]
    return ["run", *plan.config.words, *switches, *values]


def _text(value: Any) -> str:
    return f"{value:.0f}" if isinstance(value, float) else str(value)


def _code(ended: dict[int, int], count: int) -> int:
    """The exit code of the run, from the exit codes by rank in the order in which the processes ended. Only the first
    one counts, because the launcher may have ended the others. Raises ResourceError if it was killed."""
    place, code = next(iter(ended.items()))
    if code > 0:
        return code
    if ended.get(0) == ResourceError.code:
        return ResourceError.code  # rank 0 detected the dead rank and printed the error
    text = f"was killed by {signal.Signals(-code).name}, probably out of memory"
    raise ResourceError(Fault(f"process {place + 1} of {count}", text, do="the same command goes on from here"))


def join(plan: Plan, at_once: int = 1) -> Place:
    """The device of this process and the connections to the other ranks, if there are any. `at_once`: the number of
    runs that share this machine."""
    from transfer_cli.engine.device import setup
    from transfer_cli.engine.ranks import Ranks
    from transfer_cli.engine.settings import Runtime

    runtime = Runtime(**plan.values["runtime"])
    if world() == 1:
        return Place(setup(runtime, at_once=at_once), None)
    local = (int(os.environ.get("LOCAL_RANK", rank())), int(os.environ.get("LOCAL_WORLD_SIZE", world())))
    device = setup(runtime, *local)
    return Place(device, Ranks(device))


def job_of(plan: Plan, stage: Stage) -> Any:
    """A stage of a plan as a job of the engine."""
    from transfer_cli.engine.stage_context import Job

    sides = {"target": plan.target, "source": plan.source}
    data = {name: side.seen_as(stage.names) for name, side in sides.items() if side is not None}
    plugins = tuple(plan.values["plugins"])
    return Job(stage.name, stage.key, stage.spec, stage.rules, data, plan.weights, plugins, stage.seed)


def follow(plan: Plan, options: Options) -> int:
    """All work of a rank other than 0. It prints and writes nothing and ends the process. Errors are sent to rank 0,
    which prints them; if rank 0 is dead, the launcher prints them."""
    from transfer_cli.engine.ranks import Lost
    from transfer_cli.engine.stage import follow as steps
    from transfer_cli.engine.stage_context import StageContext

    device, ranks = join(plan)
    assert ranks is not None, "a rank has others"
    stop = Stop().watch(quiet=True)  # only now, because before this point a signal may simply end the process
    store, cache = Store(options.runs / ".store", create=False), options.runs / ".cache"
    context = StageContext(
        store, device, cache, Talk(), stop, lambda: None, ranks=ranks, shard=bool(plan.values["runtime"]["shard"])
    )
    try:
        steps({stage.name: job_of(plan, stage) for stage in plan.work}, context)
    except Lost:
        pass
    except BaseException as error:
        ranks.fail(error, traceback.format_exc())
    os._exit(0)  # at once: rank 0 notices that the connections are closed
