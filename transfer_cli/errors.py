"""Errors that users see: a Fault is one line of a message, and each exception class has its own exit code.

TransferError 1
├── ConfigError 2      words, options, settings
├── SweepError 3       at least one run of a sweep failed
├── DataError 4        data missing, invalid or changed during the run
├── StoreError 5       permission, locks, format, bad weights or checkpoints
├── ResourceError 6    disk, quota, memory, killed worker
├── Diverged 7         non-finite loss or gradient
├── Busy 8             another process held a claim longer than --wait
├── Differs 9          a check found a difference
└── Stopped 128+n      signal n; 124, as timeout(1) returns: runtime.max_time has passed; state is saved
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any


@dataclass(frozen=True)
class Fault:
    """One problem. `key` and `value` are what the user typed, `text` says what is wrong, `allowed` and `nearest` are
    valid values, `do` is what to do, `see` is a further reference."""

    key: str
    text: str
    value: str | None = None
    allowed: tuple[str, ...] = ()
    nearest: str | None = None
    do: str | None = None
    see: str | None = None

    def line(self) -> str:
        """The message as one line, `key=value: text; nearest: word; see`, without `do`."""
        what = self.key if self.value is None else f"{self.key}={self.value}"
        more = [f"nearest: {self.nearest}" if self.nearest else "", self.see or ""]
        return "; ".join([f"{what}: {self.text}", *filter(None, more)])


class TransferError(Exception):
    """An error with a message for the user. `faults` contains all problems, `code` is the exit code."""

    code = 1

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(fault.line() for fault in faults))
        self.faults: list[Fault] = list(faults)

    def as_json(self) -> dict[str, Any]:
        first, *more = [asdict(fault) for fault in self.faults]
        return {"error": {"code": self.code, "word": first.pop("key"), **first, "more": more}}


class ConfigError(TransferError):
    code = 2


class SweepError(TransferError):
    code = 3


class DataError(TransferError):
    code = 4


class StoreError(TransferError):
    code = 5


class ResourceError(TransferError):
    code = 6


class Diverged(TransferError):
    code = 7


class Busy(TransferError):
    code = 8


class Differs(TransferError):
    code = 9


class Stopped(TransferError):
    """A signal (128 + its number) or a time limit (124) stopped the work; all progress is saved."""

    def __init__(self, code: int, *faults: Fault) -> None:
        super().__init__(*faults)
        self.code = code


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The element of `known` with the most similar spelling to `word`, or None."""
    return next(iter(get_close_matches(word, known, n=1, cutoff=0.5)), None)
