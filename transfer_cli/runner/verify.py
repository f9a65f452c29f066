"""Checks an experiment against its expected number, and the stored files of runs against their checksums."""

from collections.abc import Sequence
from dataclasses import dataclass

from transfer_cli.analysis.metric import bare
from transfer_cli.analysis.results import Run
from transfer_cli.analysis.statistics import Interval, t_interval
from transfer_cli.config.compose import Config, load
from transfer_cli.config.nodes import Expect
from transfer_cli.errors import ConfigError, Differs, Fault
from transfer_cli.measures import Measure
from transfer_cli.report.screen import Screen
from transfer_cli.runner.options import Options
from transfer_cli.runner.planning import fetch_hub, fetch_missing, plan_all
from transfer_cli.runner.processes import to_start
from transfer_cli.runner.run_selection import chosen
from transfer_cli.runner.single_run import quiet_threads, run_on_screen, stop_of
from transfer_cli.runner.store_cleaning import with_needs
from transfer_cli.store.store import Store


@dataclass(frozen=True)
class Verdict:
    """The values that an experiment reached, by seed, and the expectation of its YAML file."""

    expect: Expect
    values: Sequence[float]
    measure: Measure

    @property
    def reached(self) -> Interval:
        return t_interval(self.values)

    @property
    def difference(self) -> float:
        return self.reached.value - self.expect.value

    @property
    def agrees(self) -> bool:
        return abs(self.difference) <= self.expect.tolerance


def verify_experiment(options: Options, screen: Screen) -> Verdict:
    """Computes the experiment with every seed of its expectation, one after the other in this process. Raises
    ConfigError if it has no expectation or needs several processes."""
    fetch_hub(options.words, options, screen)
    expect = expectation(load(options.words, config_dirs=options.config_dirs))
    words = (*options.words, *expect.words)
    configs = [load((*words, f"seed={seed}"), config_dirs=options.config_dirs) for seed in range(expect.n)]
    fetch_missing(configs, options, screen)
    plans = plan_all(configs, options)
    if any(to_start(plan) for plan in plans):
        raise ConfigError(Fault("runtime.processes", "verify computes in one process", do="runtime.processes=1"))
    quiet_threads()
    runs = [run_on_screen(plan, options, screen, stop_of(plan)) for plan in plans]
    results = [Run.of(run.data) for run in runs]
    return Verdict(expect, [_value(run, expect) for run in results], results[0].measure(bare(expect.metric)))


def expectation(config: Config) -> Expect:
    """The expectation of a composed experiment. Raises ConfigError if it has none."""
    node = config.values["expect"]
    if not node:
        text = "has no expected number"
        raise ConfigError(Fault("experiment", text, config.choices.get("experiment"), do="give its YAML an `expect`"))
    return Expect(**node)


def _value(run: Run, expect: Expect) -> float:
    value = run.value(bare(expect.metric), expect.rule)
    if value is None:
        available = [f"{rule}: {run.part}{name}" for rule in run.rules for name in run.names(rule)]
        raise ConfigError(
            Fault("expect.metric", f"it has no value under {expect.rule}", expect.metric, tuple(available))
        )
    return value


def verify_files(options: Options) -> tuple[int, int]:
    """Compares every file of the stages that the chosen runs depend on with its checksum; returns the numbers of files
    and of stages. Raises Differs (exit 9) for stages that are damaged or gone."""
    store, runs = Store(options.runs / ".store", create=False), chosen(options)
    stages = {stage.key for run in runs for stage in run.stages if stage.key}
    keys = sorted(with_needs(store, stages))
    bad = [key for key in keys if not store.verify(key)]
    if bad:
        text = f"{len(bad)} of {len(keys)} stages are damaged or gone: {', '.join(key[:12] for key in bad)}"
        raise Differs(Fault(" ".join(run.id for run in runs), text, do="run its words again"))
    return sum(len(store.files(key)) for key in keys), len(keys)
