"""transfer data check DATA | WORDS: reads every row and reports what would stop or spoil a run. With -o FILE.yaml it
writes settings that repair this, which are used as data=FILE.yaml. The user's own files are never changed."""

from dataclasses import replace

from transfer_cli.errors import ConfigError, Fault
from transfer_cli.report.data_check_table import findings_table
from transfer_cli.report.screen import Screen
from transfer_cli.runner.data_check import check_data, next_command, write_cleanup
from transfer_cli.runner.options import Options

FAILED = 4


def main(options: Options) -> int:
    """Example: transfer data check ./pictures -o pictures.yaml. Returns 4 if a run would stop."""
    _check_usage(options)
    screen = Screen.of(replace(options, out=None))
    checked = check_data(options, screen)
    grouped = screen.format == "table" and not options.verbose
    table = findings_table(checked.raw, checked.findings, grouped=grouped)
    notes = [checked.as_data]
    if options.out:
        notes.append(write_cleanup(checked, options.out))
    screen.show(replace(table, notes=notes, next=next_command(checked, options)))
    return FAILED if checked.failed else 0


def _check_usage(options: Options) -> None:
    if options.args[:1] != ("check",) or len(options.args) > 2 or not (options.args[1:] or options.words):
        arguments = " ".join(options.args) or None
        raise ConfigError(Fault("data", "the command is: transfer data check DATA", arguments, ("check",)))
    if options.out and options.out.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(Fault("-o", "the file of repairs is a .yaml file", str(options.out)))
    if options.out and options.out.exists():
        raise ConfigError(Fault("-o", "exists already; choose another name", str(options.out)))
