"""Signals: the handler only sets a flag; whoever works looks at it between steps, saves and leaves.
A second signal leaves at once, which is safe because every file is written whole or not at all.

A sweep passes a signal on to its run as RELAY: a Ctrl-C in a terminal reaches both, and must not count twice."""

import os
import signal
from types import FrameType

from transfer_cli.errors import Fault, Stopped

WATCHED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RELAY = signal.SIGUSR1
TIME_UP = signal.SIGUSR2  # of a cluster, before it kills


class Stop:
    """Call it: raises Stopped once a signal came. `watch` installs the handlers in the main thread."""

    def __init__(self) -> None:
        self.signum = 0

    def watch(self) -> "Stop":
        for number in WATCHED:
            signal.signal(number, self._handle)
        for number in (RELAY, TIME_UP):
            signal.signal(number, self._relayed)
        return self

    def _relayed(self, signum: int, frame: FrameType | None) -> None:
        self.signum = self.signum or signal.SIGINT

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self.signum:
            os.write(2, b"interrupted again, leaving now\n")
            os._exit(128 + signum)
        self.signum = signum
        os.write(2, b"finishing this step, saving; again to leave at once\n")

    def __call__(self) -> None:
        if self.signum:
            name = signal.Signals(self.signum).name
            word = "interrupted" if self.signum == signal.SIGINT else f"stopped by {name}"
            raise Stopped(self.signum, Fault(word, "saved", do="the same command goes on from here"))
