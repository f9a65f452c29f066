"""transfer advise DATA: recommends a source and a strategy for a target, within a budget of time."""

from transfer_cli.report.screen import Screen
from transfer_cli.runner.advise import advise
from transfer_cli.runner.options import Options


def main(options: Options) -> int:
    """Example: transfer advise data=usps data.shots=20 source=none,mnist --budget 15m"""
    return advise(options, Screen.of(options))
