"""Signals: the handler only sets a flag, which the training loop checks between steps, then saves and exits.
A second signal exits at once, which is safe because all files are written atomically. A time limit
(runtime.max_time) has the same effect as a signal.

A sweep passes a signal on to its runs as RELAY: Ctrl-C in a terminal reaches both processes and must not count
twice."""

import math
import os
import signal
import time
from types import FrameType

from transfer_cli.errors import Fault, Stopped

WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RELAY = signal.SIGUSR1
TIME_UP = 124  # the exit code of timeout(1)
CLUSTER = signal.SIGUSR2  # sent by the cluster shortly before a job reaches its time limit


class Stop:
    """Calling an instance raises Stopped after a signal or when the time limit has passed. `watch` installs the
    handlers in the main thread; `quiet`: prints nothing, because another process informs the user."""

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
        """Sets a limit of `seconds` after `began` (time.monotonic; default: now). `words` is the name of the limit in
        messages."""
        self._deadline = (time.monotonic() if began is None else began) + seconds
        self._limit = words
        return self

    def _relayed(self, signum: int, frame: FrameType | None) -> None:
        self.signum = self.signum or signal.SIGINT

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signum:
            self._print(b"interrupted again, leaving now\n")
            os._exit(128 + signum)
        self.signum = signum
        self._print(b"finishing this step, saving; again to leave at once\n")

    def _print(self, text: bytes) -> None:
        if not self._quiet:
            os.write(2, text)

    @property
    def code(self) -> int:
        """The exit code to stop with; 0: continue."""
        if self.signum:
            return 128 + self.signum
        return TIME_UP if time.monotonic() >= self._deadline else 0

    def __call__(self) -> None:
        if self.signum or time.monotonic() >= self._deadline:
            raise self.error(self.code)

    def error(self, code: int, where: str = "") -> Stopped:
        """The error for exit code `code`, of this or another process of the run; `where`: the progress, for the
        message."""
        if code == TIME_UP:
            word, text = self._limit, "the time is over, saved"
        elif code == 128 + signal.SIGINT:
            word, text = "interrupted", "saved"
        else:
            word, text = f"stopped by {signal.Signals(code - 128).name}", "saved"
        return Stopped(code, Fault(word, where + text, do="the same command goes on from here"))
