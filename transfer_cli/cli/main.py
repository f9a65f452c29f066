"""The program `transfer`: finds the command, prints errors and sets the exit code. Each command is a file of this
folder, which is imported when it is called; `--help` and completion import no command."""

import os
import sys
from typing import TYPE_CHECKING

from transfer_cli.runner.guarded import guarded

if TYPE_CHECKING:
    from transfer_cli.runner.options import Options


def entry() -> None:
    """The console script: the only place that exits the process."""
    # a stream is None if the caller closed it (`2>&-`)
    sys.stdout, sys.stderr = (s or open(os.devnull, "w") for s in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name that the terminal cannot show must not end the program
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1:]))


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code (ARCHITECTURE.md lists them)."""
    try:
        code = _main(argv)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return _closed()


def _main(argv: list[str]) -> int:
    if argv[:1] == ["__complete"]:
        from transfer_cli.cli.completion import candidates

        return _print("\n".join(candidates(argv[1:])))
    if argv == ["--version"]:
        from transfer_cli import __version__

        return _print(f"transfer {__version__}")
    before = argv[: argv.index("--")] if "--" in argv else argv
    asks_for_help = argv[:1] == ["help"] or {"-h", "--help"} & set(before)
    work = _help if asks_for_help else _command
    return guarded(lambda: work(argv), debug="--debug" in argv, as_json="--json" in argv)


def _help(argv: list[str]) -> int:
    from transfer_cli.cli.help import help_text

    return _print(help_text(argv))


def _print(text: str) -> int:
    print(text)
    return 0


def _command(argv: list[str]) -> int:
    from importlib import import_module

    options = _options(argv)
    if options.offline:
        os.environ["TRANSFER_OFFLINE"] = "1"  # data readers and child processes read this variable
    module = import_module(f"transfer_cli.cli.{options.command}")
    code: int = module.main(options)
    return code


def _options(argv: list[str]) -> "Options":
    """The options of a command line. Raises ConfigError with the faults of options and of words together, so that the
    user can correct all of them at once."""
    from transfer_cli.cli.options import read
    from transfer_cli.errors import ConfigError, TransferError

    try:
        return read(argv)
    except ConfigError as error:
        words = [text for text in argv if "=" in text and not text.startswith("-")]
        if words and {"run", "show"} & set(argv):
            from transfer_cli.config.compose import load_all

            try:
                load_all(words, multirun=True)
            except TransferError as more:
                raise ConfigError(*error.faults, *more.faults) from None
        raise


def _closed() -> int:
    """Handles a reader that closed our output early (`| head`): prints no error, not even when the interpreter flushes
    at exit. Returns the exit code."""
    for fd in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
    return 1
