"""Several processes for one run: started here through torch's launcher, or by torchrun. Each runs the same command;
rank 0 is the run, the others compute the same steps and write nothing. Torch is imported only where it is needed."""

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

SWEEP = "TRANSFER_SWEEP"  # environment variable: the sweep that the run of rank 0 belongs to
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
    """Where this process computes, and with whom."""

    device: Any
    ranks: "Ranks | None"


def rank() -> int:
    """The number of this process among those of its run, from torch's launcher; 0 if it is alone."""
    return int(os.environ.get("RANK", 0)) if world() > 1 else 0


def world() -> int:
    """How many processes torch's launcher started."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "RANK" in os.environ else 1


def to_start(plan: Plan) -> bool:
    """Whether processes are still to be started. Raises ConfigError if torchrun started others than the words say."""
    wanted = plan.values["runtime"]["processes"]
    if world() == wanted == 1 and plan.values["runtime"]["shard"]:
        raise ConfigError(Fault("runtime.shard", "shares want several processes", "true", do="runtime=ddp"))
    if world() > 1 and wanted not in ("auto", world()):
        raise ConfigError(Fault("runtime.processes", f"{world()} were started", str(wanted), do="runtime=ddp"))
    return world() == 1 and wanted != 1


def of_sweep() -> tuple[str, float | None]:
    """The sweep that the run of these processes belongs to, and when that began; "" and None without one."""
    sweep, _, began = os.environ.get(SWEEP, "").partition(" ")
    return sweep, float(began) if began else None


def launch(plan: Plan, options: Options, sweep: str = "", began: float = 0.0) -> int:
    """Starts the processes of a run, maybe of a sweep, and waits for them; returns the exit code of rank 0, which
    prints its own errors. Raises ResourceError if a process was killed before rank 0 could say so."""
    from transfer_cli.engine.launch import places, start

    wanted, device = plan.values["runtime"]["processes"], plan.values["runtime"]["device"]
    count = places(device) if wanted == "auto" else int(wanted)
    _environment(count * options.jobs)
    if sweep:
        os.environ[SWEEP] = f"{sweep} {began}"
    # in a sweep the sweep passes Ctrl-C on
    signals = ("SIGTERM", "SIGHUP", RELAY.name, *([] if sweep else ["SIGINT"]))
    ended = start(count, ["transfer_cli", *_argv(plan, options)], signals)
    if ended.signum:
        return 128 + (signal.SIGINT if ended.signum == RELAY else ended.signum)
    return _code(dict(ended.codes), count) if ended.codes else 0


def _environment(at_once: int) -> None:
    """Environment of the processes: their share of the cores among `at_once`, the place of this package, and libraries
    that print errors only."""
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
    """The exit code of the run, from exit codes by rank in the order in which they ended: the launcher may have ended
    all but the first."""
    place, code = next(iter(ended.items()))
    if code > 0:
        return code
    if ended.get(0) == ResourceError.code:
        return ResourceError.code  # rank 0 noticed the loss, and printed it
    text = f"was killed by {signal.Signals(-code).name}, probably out of memory"
    raise ResourceError(Fault(f"process {place + 1} of {count}", text, do="the same command goes on from here"))


def join(plan: Plan, at_once: int = 1) -> Place:
    """The device of this process, one of `at_once` runs here, and the other processes of its run, if any."""
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
    """The stage as the engine takes it."""
    from transfer_cli.engine.stage_context import Job

    sides = {"target": plan.target, "source": plan.source}
    data = {side: found.seen_as(stage.names) for side, found in sides.items() if found is not None}
    plugins = tuple(plan.values["plugins"])
    return Job(stage.name, stage.key, stage.spec, stage.rules, data, plan.weights, plugins, stage.seed)


def follow(plan: Plan, options: Options) -> int:
    """The whole work of a rank other than 0: prints nothing, writes nothing, ends the process. Rank 0 prints what goes
    wrong here; if rank 0 is gone, the launcher does."""
    from transfer_cli.engine.ranks import Lost
    from transfer_cli.engine.stage import follow as steps
    from transfer_cli.engine.stage_context import StageContext

    device, ranks = join(plan)
    assert ranks is not None, "a rank has others"
    stop = Stop().watch(quiet=True)  # not before: until here a signal may simply end this process
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
