"""transfer run: starts the runs that the words describe, after it has checked all of them. A single run is computed in
this process, several runs in child processes."""

from transfer_cli.config.compose import load_all
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.report.screen import Screen
from transfer_cli.runner.compute import compute
from transfer_cli.runner.options import Options
from transfer_cli.runner.plan_preview import plans_to_run
from transfer_cli.runner.planning import fetch_hub


def main(options: Options) -> int:
    """Example: transfer run experiment=hello"""
    screen = Screen.of(options)
    if options.args:
        raise ConfigError(Fault(options.args[0], "is no key=value", do=f"data={options.args[0]}, if it is the data"))
    if options.search is not None:
        from transfer_cli.runner.search import search

        return search(options, screen)
    if options.metric is not None:
        raise ConfigError(Fault("--metric", "says what --search looks for", options.metric, do="add --search 20"))
    fetch_hub(options.words, options, screen)
    configs = load_all(options.words, multirun=options.multirun, seeds=options.seeds, config_dirs=options.config_dirs)
    plans = plans_to_run(configs, options, screen)
    return compute(plans, options, screen) if plans else 0
