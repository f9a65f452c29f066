"""Turns errors of a command or of a run into lines on stderr and an exit code. Nothing is imported before an error
occurs, because `--help` uses this file, too."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from transfer_cli.errors import TransferError


def guarded(work: "Callable[[], int]", *, debug: bool, as_json: bool) -> int:
    """The exit code of `work`; exceptions are printed and turned into their exit code. Only BrokenPipeError passes."""
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


def _print(error: "TransferError", as_json: bool) -> None:
    from transfer_cli.errors import Stopped
    from transfer_cli.safe import safe

    if as_json:
        import json

        document = error.as_json() if error.faults else {"error": {"code": error.code}}
        print(json.dumps(document, ensure_ascii=True), file=sys.stderr)
        return
    head = "" if isinstance(error, Stopped) else "error: "  # an interrupt by the user is not an error
    for fault in error.faults:
        print(f"{head}{safe(fault.line())}", file=sys.stderr)
        if fault.do:
            print(f"  do: {safe(fault.do)}", file=sys.stderr)


def _internal(error: Exception, debug: bool) -> int:
    """Reports a bug of this program in one line; the traceback is printed only with --debug."""
    if debug:
        _traceback()
    from transfer_cli.safe import safe

    where = "" if debug else "; see it with --debug"
    print(f"internal error: {type(error).__name__}: {safe(' '.join(str(error).split()))}{where}", file=sys.stderr)
    return 1


def _traceback() -> None:
    import traceback

    traceback.print_exc()
