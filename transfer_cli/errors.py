"""What can go wrong, as values: one Fault a line, one exception class an exit code.

TransferError 1
├── ConfigError 2      words, options, settings
├── SweepError 3       at least one run of a sweep failed
├── DataError 4        data missing, invalid or changed in flight
├── StoreError 5       permission, locks, format, bad weights or checkpoints
├── ResourceError 6    disk, quota, memory, killed worker
├── Diverged 7         non-finite loss or gradient
├── Busy 8             a claim held longer than --wait
├── Differs 9          checked, and it is not as it should be
└── Stopped 128+n      a signal; 124: runtime.max_time is over, as timeout(1) has it; state is saved
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong. `key` and `value` are what the user typed; `text` says what is wrong with it."""

    key: str
    text: str
    value: str | None = None
    allowed: tuple[str, ...] = ()
    nearest: str | None = None
    do: str | None = None
    see: str | None = None

    def line(self) -> str:
        """`key=value: text; nearest: word; see`: enough alone, without the `do:` line."""
        what = self.key if self.value is None else f"{self.key}={self.value}"
        more = [f"nearest: {self.nearest}" if self.nearest else "", self.see or ""]
        return "; ".join([f"{what}: {self.text}", *filter(None, more)])


class TransferError(Exception):
    """A fault the user can read. `faults` holds every one found; `code` is the exit code."""

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
    """A signal (128 + its number) or the clock asked the work to stop; everything reached is saved."""

    def __init__(self, code: int, *faults: Fault) -> None:
        super().__init__(*faults)
        self.code = code


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word spelt most like `word`, or None."""
    return next(iter(get_close_matches(word, known, n=1, cutoff=0.5)), None)
