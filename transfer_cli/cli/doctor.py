"""transfer doctor: checks what works on this machine. With words of a run, such as `model=NAME`, it measures in which
precision that net is fastest."""

from transfer_cli.report.screen import Screen
from transfer_cli.report.tables import Column, Table
from transfer_cli.runner.doctor import findings
from transfer_cli.runner.options import Options


def main(options: Options) -> int:
    """Example: transfer doctor --json"""
    screen = Screen.of(options)
    if options.words:
        from transfer_cli.runner.step_timing import show_step_times

        show_step_times(options, screen)
        return 0
    checks, code = findings(options)
    columns = [Column("level", state=True), Column("topic"), Column("detail", wraps=True)]
    rows = [finding._asdict() for finding in checks]
    screen.show(Table(columns, rows, notes=["network: not used"], schema="doctor/1"))
    return code
