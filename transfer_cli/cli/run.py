"""transfer run: words become runs, all checked before the first starts. One works here, several in children."""

import os
from collections.abc import Mapping
from typing import Any

from transfer_cli.analysis.results import Run
from transfer_cli.cli.options import Options
from transfer_cli.cli.show import show_plans
from transfer_cli.config.compose import Config, load_all
from transfer_cli.errors import ConfigError, DataError, Fault, TransferError
from transfer_cli.extras import absent
from transfer_cli.launch.launcher import check
from transfer_cli.plan.plan import Plan
from transfer_cli.plan.planner import Opened, plan
from transfer_cli.report import run_screen
from transfer_cli.report.live.progress_file import Relay
from transfer_cli.report.live.run_display import talk
from transfer_cli.report.screen import Screen
from transfer_cli.rundir.rundir import RunDir
from transfer_cli.runner import processes
from transfer_cli.runner.artifacts import leave
from transfer_cli.runner.single_run import is_cached, open_run, quiet_threads, stop_of, work
from transfer_cli.signals import Stop


def main(options: Options) -> int:
    """Runs the words of the command line; returns the exit code."""
    if options.search is not None:
        from transfer_cli.runner.search import search

        return search(options, Screen.of(options))
    if options.metric is not None:
        raise ConfigError(Fault("--metric", "says what --search looks for", options.metric, do="add --search 20"))
    screen = Screen.of(options)
    fetch_hub(options, screen)
    configs = load_all(options.words, multirun=options.multirun, seeds=options.seeds, config_dirs=options.config_dirs)
    plans = looked_at(configs, options, screen)
    return compute(plans, options, screen) if plans else 0


def looked_at(configs: list[Config], options: Options, screen: Screen) -> list[Plan]:
    """The plan of every run, with data brought that are missing; none where settings or plans were only to be shown."""
    if options.cfg:
        show_settings(configs, screen)
        return []
    fetch_missing(configs, options, screen)
    plans = plan_all(configs, options)
    if options.dry_run:
        show_plans(plans, options, screen)
        return []
    return plans


def compute(plans: list[Plan], options: Options, screen: Screen) -> int:
    """One run works in this process; several, or one for a cluster, are a sweep."""
    if not options.multirun and plans[0].values["runtime"]["launcher"] == "local":
        return run_one(plans[0], options, screen)
    from transfer_cli.runner.sweep import sweep

    return sweep(plans, options, screen)


def fetch_hub(options: Options, screen: Screen) -> None:
    """Brings what `weights=hf:ORG/NAME` names if it is not here and the network may be used: its configuration decides
    about the net. Else planning says what to do."""
    from transfer_cli.config.pretrained import HUB, REPOSITORY, is_folder_of_weights
    from transfer_cli.data.fetch.download import forbidden

    given = [word.removeprefix("weights=").split(",") for word in options.words if word.startswith("weights=")]
    for name in [name for names in given for name in names if name.startswith(HUB)]:
        if forbidden(options.offline) or is_folder_of_weights(name) or not REPOSITORY.fullmatch(name[len(HUB) :]):
            continue
        from transfer_cli.data.fetch import hub

        try:
            hub.bring(name.removeprefix(HUB), talk=screen.note)
        except DataError as error:
            screen.note(error.faults[0].line())


def fetch_missing(configs: list[Config], options: Options, screen: Screen) -> None:
    """Brings built-in data sets that are not here, where the network may be used; else planning names what to do."""
    from transfer_cli.data.fetch.datasets import absent, bring

    if options.offline or os.environ.get("TRANSFER_OFFLINE") == "1":
        return
    cache = options.runs / ".cache"
    for name in dict.fromkeys(name for config in configs for name in absent(config.values, cache)):
        try:
            bring(name, cache, talk=screen.note)
        except DataError as error:  # no network: the plan then names the file, the folder and what to do
            screen.note(error.faults[0].line())


def plan_all(configs: list[Config], options: Options) -> list[Plan]:
    """The plan of every run. Raises one error with the faults of all."""
    found: list[Plan] = []
    errors: list[TransferError] = []
    opened: Opened = {}
    for config in configs:
        try:
            _installed(config.values["runtime"])
            found.append(plan(config, runs=options.runs, opened=opened))
        except TransferError as error:
            errors.append(error)
    if errors:
        kind = type(min(errors, key=lambda error: error.code))  # a wrong word is told as such, whatever else is wrong
        raise kind(*dict.fromkeys(fault for error in errors for fault in error.faults))
    return found


def _installed(runtime: Mapping[str, Any]) -> None:
    """Raises ConfigError if the launcher or the tracker wants an extra that is not here."""
    check(runtime)
    kind = runtime["tracker"]
    if kind != "none" and (faults := absent(kind, "runtime.tracker", kind)):
        raise ConfigError(*faults)


def show_settings(configs: list[Config], screen: Screen) -> None:
    """The resolved settings, YAML for people and files, JSON for --json."""
    import yaml

    if screen.json:
        screen.answer({"schema": "config/1", "runs": [config.values for config in configs]})
        return
    texts = [yaml.safe_dump(config.values, sort_keys=False, allow_unicode=True) for config in configs]
    screen.write("---\n".join(texts))


def run_one(made: Plan, options: Options, screen: Screen) -> int:
    """One run in this process, with its live display and its results."""
    if not is_cached(made, options.runs):
        quiet_threads()
        if processes.to_start(made):
            return processes.launch(made, options)
    if processes.rank():
        return processes.follow(made, options)
    sweep, began = processes.of_sweep()
    stop = stop_of(made, began)
    if sweep:
        return run_watched(made, options, sweep, stop)
    run = open_run(made, options)
    show_run(made, run, options, screen, stop)
    run_screen.results(Run.of(run.data), screen, run.path)
    return 0


def run_watched(made: Plan, options: Options, sweep: str, stop: Stop) -> int:
    """One run of a sweep, whose terminal shows how far it is."""
    run = open_run(made, options, sweep=sweep)
    work(made, run, options, Relay(run.path), stop)
    leave(run)
    return 0


def show_run(made: Plan, run: RunDir, options: Options, screen: Screen, stop: Stop) -> None:
    """Computes `made` in `run` with its live display, then its figures."""
    shown = talk(screen)
    shown.note(run_screen.header(Run.of(run.data)))
    if run.continued:
        shown.note(f"goes on in {run.path}")
    for stage in made.stages:
        shown.stage(stage.name, "to do" if stage.key else "none", stage.what)
    work(made, run, options, shown, stop)
    leave(run, screen.note)
