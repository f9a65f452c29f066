"""The program `transfer`: finds the command, prints errors, sets the exit code. Commands are files of this folder,
imported when they are called; `--help` and completion import nothing else."""

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_cli.cli.options import Options
    from transfer_cli.errors import TransferError


def entry() -> None:
    """Console script: the only place that exits."""
    # None where the caller closed it (`2>&-`)
    sys.stdout, sys.stderr = (s or open(os.devnull, "w") for s in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a file name that the terminal cannot show must not end the program
            stream.reconfigure(errors="backslashreplace")
    sys.exit(main(sys.argv[1:]))


def main(argv: list[str]) -> int:
    """Runs one command line; returns the exit code (RELIABILITY 4)."""
    try:
        code = _main(argv)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return _closed()


def _main(argv: list[str]) -> int:
    if argv[:1] == ["__complete"]:
        from transfer_cli.cli.completion import candidates

        print("\n".join(candidates(argv[1:])))
        return 0
    before = argv[: argv.index("--")] if "--" in argv else argv
    if argv[:1] == ["help"] or {"-h", "--help"} & set(before):
        from transfer_cli.cli import help, table

        print(help.text(next((word for word in argv if word in table.COMMANDS), "")))
        return 0
    if argv == ["--version"]:
        from transfer_cli import __version__

        print(f"transfer {__version__}")
        return 0
    return guarded(lambda: _command(argv), debug="--debug" in argv, as_json="--json" in argv)


def guarded(work: "Callable[[], int]", *, debug: bool, as_json: bool) -> int:
    """Exit code of `work`, with everything that can go wrong turned into lines."""
    from transfer_cli.errors import TransferError

    try:
        return work()
    except BrokenPipeError:
        raise
    except TransferError as error:
        if debug:
            _traceback()
        _print(error, as_json)
        return error.code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        return _internal(error, debug)


def _command(argv: list[str]) -> int:
    from importlib import import_module

    options = _options(argv)
    if options.offline:
        os.environ["TRANSFER_OFFLINE"] = "1"  # where readers of data, and children, look
    module = import_module(f"transfer_cli.cli.{options.command}")
    code: int = module.main(options)
    return code


def _options(argv: list[str]) -> "Options":
    """The options; if they are wrong, the faults of the words are told too, so that the user mends all in one go."""
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


def _print(error: "TransferError", as_json: bool) -> None:
    from transfer_cli.errors import Stopped
    from transfer_cli.safe import safe

    if as_json:
        import json

        document = error.as_json() if error.faults else {"error": {"code": error.code}}
        print(json.dumps(document, ensure_ascii=True), file=sys.stderr)
        return
    head = "" if isinstance(error, Stopped) else "error: "  # who interrupts made no error
    for fault in error.faults:
        print(f"{head}{safe(fault.line())}", file=sys.stderr)
        if fault.do:
            print(f"  do: {safe(fault.do)}", file=sys.stderr)


def _internal(error: Exception, debug: bool) -> int:
    """A bug of ours: one line, the traceback only if asked for."""
    if debug:
        _traceback()
    from transfer_cli.safe import safe

    where = "" if debug else "; see it with --debug"
    print(f"internal error: {type(error).__name__}: {safe(' '.join(str(error).split()))}{where}", file=sys.stderr)
    return 1


def _traceback() -> None:
    import traceback

    traceback.print_exc()


def _closed() -> int:
    """Whoever read our output has gone (`| head`): say nothing, also not when the interpreter flushes at exit."""
    for fd in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), fd)
    return 1
