"""transfer show: of words the settings and the plan, with each stage cached or to do; of a RUN what it did; of two runs
what differs."""

from transfer_cli.analysis.results import read
from transfer_cli.config.compose import load_all
from transfer_cli.errors import ConfigError, Fault
from transfer_cli.report import run_screen
from transfer_cli.report.difference import difference
from transfer_cli.report.screen import Screen
from transfer_cli.rundir.rundir import find
from transfer_cli.runner.options import Options
from transfer_cli.runner.plan_preview import show_plans
from transfer_cli.runner.planning import plan_all


def main(options: Options) -> int:
    """Example: transfer show strategy=few_shot"""
    screen = Screen.of(options)
    if options.args:
        return _show_runs(options, screen)
    configs = load_all(options.words, multirun=options.multirun, seeds=options.seeds, config_dirs=options.config_dirs)
    show_plans(plan_all(configs, options), options, screen)
    return 0


def _show_runs(options: Options, screen: Screen) -> int:
    """Header, stages and results of one run; of two, what differs. Raises ConfigError for more than two."""
    if options.words:
        raise ConfigError(Fault("show", "takes a RUN or words, not both"))
    found = [folder for ref in options.args for folder in find(options.runs, ref)]
    if len(found) == 2:
        screen.show(difference(*map(read, found), everything=options.verbose))
        return 0
    if len(found) != 1:
        names = ", ".join(folder.name for folder in found[:5])
        raise ConfigError(Fault(" ".join(options.args), f"means {len(found)} runs: {names}", do="name one or two"))
    run = read(found[0])
    if screen.json:
        screen.answer(run.document)
        return 0
    screen.note(run_screen.header(run))
    screen.note(f"note  {run.note}" if run.note else "")
    lines = [f"{run.status}  {found[0]}", *([run.fault] if run.fault else [])]
    run_screen.plan(run_screen.stage_rows(run), lines, screen)
    if run.is_done and screen.format == "table":
        run_screen.results(run, screen, found[0])
    if options.verbose:
        screen.note((found[0] / "config.yaml").read_text())
    return 0
