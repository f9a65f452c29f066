"""transfer rank DATA: scores how well each source suits a target, before any training."""

from dataclasses import replace

from transfer_cli.errors import ConfigError, Fault, nearest
from transfer_cli.report.rank_table import SCORES
from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import arranged
from transfer_cli.runner.options import Options
from transfer_cli.runner.rank import rank


def main(options: Options) -> int:
    """Example: transfer rank data=usps data.shots=20 source=none,mnist"""
    screen, by = Screen.of(options), options.metric or next(iter(SCORES))
    if by not in SCORES:
        raise ConfigError(Fault("--metric", "no such score", by, tuple(SCORES), nearest(by, list(SCORES))))
    ranking = rank(options, screen, by)
    first, *below = ranking.tables
    first = arranged(first, options.sort, options.limit, options.columns)
    screen.show(replace(first, next=ranking.next) if screen.json else first, *below)
    if not screen.json:
        screen.command(ranking.next)
    return 0
