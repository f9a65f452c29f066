"""The runs of one command: a single run in this process, or several as a sweep."""

from collections.abc import Sequence

from transfer_cli.plan.plan import Plan
from transfer_cli.report.screen import Screen
from transfer_cli.runner.options import Options
from transfer_cli.runner.single_run import run_one


def compute(plans: Sequence[Plan], options: Options, screen: Screen) -> int:
    """Computes every plan; returns the exit code. A single plan with a launcher for other machines is also a sweep."""
    if not options.multirun and plans[0].values["runtime"]["launcher"] == "local":
        return run_one(plans[0], options, screen)
    from transfer_cli.runner.sweep import sweep

    return sweep(plans, options, screen)
