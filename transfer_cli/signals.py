"""Signals: the handler only sets a flag; whoever works looks at it between steps, saves and leaves.
A second signal leaves at once, which is safe because every file is written whole or not at all. A limit of time
(runtime.max_time) is a flag that the clock sets.

A sweep passes a signal on to its run as RELAY: a Ctrl-C in a terminal reaches both, and must not count twice."""

import math
import os
import signal
import time
from types import FrameType

from transfer_cli.errors import Fault, Stopped

WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RELAY = signal.SIGUSR1
TIME_UP = 124  # the exit code that timeout(1) made known
CLUSTER = signal.SIGUSR2  # the time of a cluster's job is up, before it is killed


class Stop:
    """Call it: raises Stopped once a signal came or the time is over. `watch` installs the handlers in the main
    thread; `quiet`: some other process tells the user."""

    def __init__(self) -> None:
        self.signum = 0
        self._deadline, self._limit = math.inf, "runtime.max_time"
        self._quiet = False

    def watch(self, *, quiet: bool = False) -> "Stop":
        self._quiet = quiet
        for number in WATCHED:
            signal.signal(number, self._handle)
        for number in (RELAY, CLUSTER):
            signal.signal(number, self._relayed)
        return self

    def limit(self, seconds: float, words: str, began: float | None = None) -> "Stop":
        """The time is over `seconds` after `began` (time.monotonic), else after now; `words` say it to the user."""
        self._deadline = (time.monotonic() if began is None else began) + seconds
        self._limit = words
        return self

    def _relayed(self, signum: int, frame: FrameType | None) -> None:
        self.signum = self.signum or signal.SIGINT

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signum:
            self._tell(b"interrupted again, leaving now\n")
            os._exit(128 + signum)
        self.signum = signum
        self._tell(b"finishing this step, saving; again to leave at once\n")

    def _tell(self, text: bytes) -> None:
        if not self._quiet:
            os.write(2, text)

    @property
    def code(self) -> int:
        """The exit code to stop with, 0: go on."""
        if self.signum:
            return 128 + self.signum
        return TIME_UP if time.monotonic() >= self._deadline else 0

    def __call__(self) -> None:
        if self.signum or time.monotonic() >= self._deadline:
            raise self.error(self.code)

    def error(self, code: int, where: str = "") -> Stopped:
        """What ends a run with `code`, here or at another process of the run; `where`: how far it came."""
        if code == TIME_UP:
            word, text = self._limit, "the time is over, saved"
        elif code == 128 + signal.SIGINT:
            word, text = "interrupted", "saved"
        else:
            word, text = f"stopped by {signal.Signals(code - 128).name}", "saved"
        return Stopped(code, Fault(word, where + text, do="the same command goes on from here"))
