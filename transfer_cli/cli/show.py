"""transfer show: for words, their settings and plan, with each stage cached or to do; for a RUN, its stages and
results; for two runs, their differences."""

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
    """Shows header, stages and results of one run, or the differences of two. Raises ConfigError for more than two."""
    if options.words:
        raise ConfigError(Fault("show", "takes a RUN or words, not both"))
    folders = [folder for ref in options.args for folder in find(options.runs, ref)]
    if len(folders) == 2:
        screen.show(difference(*map(read, folders), everything=options.verbose))
        return 0
    if len(folders) != 1:
        names = ", ".join(folder.name for folder in folders[:5])
        raise ConfigError(Fault(" ".join(options.args), f"means {len(folders)} runs: {names}", do="name one or two"))
    run = read(folders[0])
    if screen.json:
        screen.answer(run.document)
        return 0
    screen.note(run_screen.header(run))
    screen.note(f"note  {run.note}" if run.note else "")
    lines = [f"{run.status}  {folders[0]}", *([run.fault] if run.fault else [])]
    run_screen.plan(run_screen.stage_rows(run), lines, screen)
    if run.is_done and screen.format == "table":
        run_screen.results(run, screen, folders[0])
    if options.verbose:
        screen.note((folders[0] / "config.yaml").read_text())
    return 0
