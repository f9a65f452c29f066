"""transfer verify: an experiment against the number it should reach, or the files of a run against their checksums."""

from __future__ import annotations

from typing import TYPE_CHECKING

from transfer_cli.analysis.metric import bare
from transfer_cli.analysis.results import Run
from transfer_cli.config.nodes import Expect
from transfer_cli.errors import ConfigError, Differs, Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transfer_cli.cli.options import Options
    from transfer_cli.config.compose import Config
    from transfer_cli.measures import Measure
    from transfer_cli.report.screen import Screen
    from transfer_cli.rundir.rundir import RunDir


def main(options: Options) -> int:
    """Example: transfer verify experiment=hello"""
    from transfer_cli.report.screen import Screen

    screen = Screen.of(options)
    if any(word.startswith("experiment=") for word in options.words):
        return _experiment(options, screen)
    return _files(options, screen)


def _experiment(options: Options, screen: Screen) -> int:
    from transfer_cli.cli.run import fetch_hub, fetch_missing
    from transfer_cli.config.compose import load

    fetch_hub(options, screen)
    expect = expected(load(options.words, config_dirs=options.config_dirs))
    words = (*options.words, *expect.words)
    configs = [load((*words, f"seed={seed}"), config_dirs=options.config_dirs) for seed in range(expect.n)]
    fetch_missing(configs, options, screen)
    runs = [Run.of(run.data) for run in _runs(configs, options, screen)]
    values = [_reached(run, expect) for run in runs]
    return _told(expect, values, runs[0].measure(bare(expect.metric)), options, screen)


def expected(config: Config) -> Expect:
    """The expectation of a composed experiment. Raises ConfigError where it has none."""
    found = config.values["expect"]
    if not found:
        text = "says no number that it should reach"
        raise ConfigError(Fault("experiment", text, config.choices.get("experiment"), do="give its YAML an `expect`"))
    return Expect(**found)


def _runs(configs: Sequence[Config], options: Options, screen: Screen) -> list[RunDir]:
    """Every run, one after the other, in this process."""
    from transfer_cli.cli.run import plan_all, show_run
    from transfer_cli.runner.processes import to_start
    from transfer_cli.runner.single_run import open_run, quiet_threads, stop_of

    plans = plan_all(list(configs), options)
    if any(to_start(made) for made in plans):
        raise ConfigError(Fault("runtime.processes", "verify computes in one process", do="runtime.processes=1"))
    quiet_threads()
    done = []
    for made in plans:
        stop = stop_of(made)
        run = open_run(made, options)
        show_run(made, run, options, screen, stop)
        done.append(run)
    return done


def _reached(run: Run, expect: Expect) -> float:
    found = run.metric(bare(expect.metric), expect.rule)
    if found is None:
        known = [f"{rule}: {run.part}{name}" for rule in run.rules for name in run.names(rule)]
        raise ConfigError(Fault("expect.metric", f"under {expect.rule} there is none", expect.metric, tuple(known)))
    return found.value


def _told(expect: Expect, values: list[float], measure: Measure, options: Options, screen: Screen) -> int:
    """Prints both numbers side by side. Raises Differs (exit 9) where they are further apart than allowed."""
    from transfer_cli.analysis.statistics import t_interval
    from transfer_cli.report.tables import Column, Table

    got = t_interval(values)
    difference = got.value - expect.value
    agrees = abs(difference) <= expect.tolerance
    short = f", short version: {' '.join(expect.words)}" if expect.words else ""
    rows = [
        {"what": "expected", "number": _shown(expect.value, expect.tolerance, measure), "of": expect.source},
        {
            "what": "got",
            "number": _shown(got.value, got.half, measure),
            "of": f"{len(values)} seed{'s' * (len(values) > 1)}, {expect.rule}{short}",
        },
        {"what": "difference", "number": _shown(difference, None, measure), "of": "AGREES" if agrees else "DIFFERS"},
    ]
    columns = [Column("what"), Column("number", head=expect.metric, align="right"), Column("of", head="")]
    facts = {"value": got.value, "expected": expect.value, "tolerance": expect.tolerance, "agrees": agrees}
    if screen.json:
        screen.answer({"schema": "verify/1", "metric": expect.metric, "rule": expect.rule, "n": len(values), **facts})
    else:
        screen.show(Table(columns, rows, schema="verify/1"))
    if agrees:
        return 0
    text = f"{expect.metric} is {difference:+.4g} off, allowed {expect.tolerance:.4g}"
    raise Differs(Fault(" ".join(options.words), text))


def _shown(value: float, half: float | None, measure: Measure) -> str:
    from transfer_cli.analysis.statistics import Interval
    from transfer_cli.report.labels import value_text

    half = float("nan") if half is None else half
    return value_text(Interval(value, value - half, value + half), measure)


def _files(options: Options, screen: Screen) -> int:
    """Every stored file that a run rests on, against its checksum; of the runs of a query, of each."""
    from transfer_cli.cli.clean import with_needs
    from transfer_cli.runner.run_selection import chosen
    from transfer_cli.store.store import Store

    store, runs = Store(options.runs / ".store", create=False), chosen(options)
    stages = {stage.key for run in runs for stage in run.stages if stage.key}
    keys = sorted(with_needs(store, stages))
    bad = [key for key in keys if not store.verify(key)]
    files = sum(len(store.files(key)) for key in keys if key not in bad)
    if bad:
        text = f"{len(bad)} of {len(keys)} stages are damaged or gone: {', '.join(key[:12] for key in bad)}"
        raise Differs(Fault(" ".join(run.id for run in runs), text, do="run its words again"))
    screen.write(f"{files} files of {len(keys)} stages are as they were written\n")
    return 0
