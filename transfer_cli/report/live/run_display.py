"""The display of a running run on stderr: a live table on a terminal, plain lines elsewhere, nothing with -q.

The training loop calls `due()` at each step, which only reads the clock; everything else happens at most 4 times a
second."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from transfer_cli.analysis import numbers
from transfer_cli.analysis.metric import measure_in
from transfer_cli.legacy_measures import MEASURES
from transfer_cli.measures import Measure
from transfer_cli.report.live.progress import Curve, Pace, paced
from transfer_cli.report.live.redraw import Redrawn
from transfer_cli.report.screen import Screen, terminal
from transfer_cli.report.tables import Column, Table, lines
from transfer_cli.report.text import clean, wrap

Clock = Callable[[], float]
FRAME_S = 0.25  # seconds between two frames of the live table
LINE_S = 30.0  # seconds between two lines in a pipe
COLUMNS = (
    Column("stage"),
    Column("state", state=True),
    Column("what"),
    Column("loss"),
    Column("time", align="right"),
)


class Talk:
    """The interface of displays, and the silent display (-q). `measures`: measures of the validation metrics, by name;
    the engine sets them for a task that declares its own."""

    measures: Mapping[str, Measure] = MEASURES

    def stage(self, name: str, state: str, what: str = "", seconds: float | None = None) -> None:
        """Reports the state of a stage: none, cached, to do, waiting, running, done or failed. `seconds`: the time it
        took, or for `to do` the expected time, if known."""

    def due(self) -> bool:
        """Whether `step` should be called now. It is cheap enough to be called at every training step."""
        return False

    def step(
        self,
        name: str,
        step: int,
        steps: int,
        loss: float,
        samples_per_s: float,
        best: Mapping[str, float] | None = None,
    ) -> None:
        """Reports that `step` of `steps` of stage `name` are done. `best`: the best validation values so far, by rule
        and metric, such as `source_val/accuracy`."""

    def note(self, text: str) -> None:
        """Shows a sentence that stays visible."""

    def close(self) -> None:
        """Ends the display. The last frame stays, and further output goes below it."""


def talk(screen: Screen) -> Talk:
    """The display that suits `screen`."""
    if screen.quiet:
        return Talk()
    return Live(screen) if terminal(screen.err) and not screen.talk.plain else Lines(screen)


class Lines(Talk):
    """Plain lines: one at each change of a stage, else at most one every 30 s."""

    def __init__(self, screen: Screen, clock: Clock = time.monotonic, wall: Clock = time.time) -> None:
        self._screen, self._clock, self._wall = screen, clock, wall
        self._next = clock() + LINE_S
        self._pace: Pace | None = None

    def stage(self, name: str, state: str, what: str = "", seconds: float | None = None) -> None:
        if state in ("none", "to do"):  # these states belong to the plan and are no change
            return
        took = numbers.duration(seconds) if seconds is not None else ""
        self._line(" ".join(part for part in (name, state, what, took) if part))
        self._next = self._clock() + LINE_S
        self._pace = None

    def due(self) -> bool:
        return self._pace is None or self._clock() >= self._next

    def step(
        self,
        name: str,
        step: int,
        steps: int,
        loss: float,
        samples_per_s: float,
        best: Mapping[str, float] | None = None,
    ) -> None:
        now = self._clock()
        self._pace = paced(self._pace, name, step, steps, now)
        if now < self._next:
            return
        self._next = now + LINE_S
        left_s = self._pace.left(now)
        end = "" if left_s is None else f" left {left_s:.0f}s"
        self._line(f"{name} {step}/{steps} loss {numbers.plain(loss)}{end}")

    def note(self, text: str) -> None:
        self._line(text)

    def _line(self, text: str) -> None:
        stamp = time.strftime("%H:%M:%SZ", time.gmtime(self._wall()))
        self._screen.err.write(clean(f"{stamp} {text}", self._screen.talk.encoding) + "\n")
        self._screen.err.flush()


class Live(Talk):
    """A table of stages that is redrawn in place, at most 4 times a second."""

    def __init__(self, screen: Screen, clock: Clock = time.monotonic) -> None:
        self._frame, self._clock = Redrawn(screen), clock
        self._rows: dict[str, dict[str, Any]] = {}
        self._seconds: dict[str, float | None] = {}
        self._curve, self._below = Curve(), list[str]()
        self._pace: Pace | None = None
        self._next = clock()

    def stage(self, name: str, state: str, what: str = "", seconds: float | None = None) -> None:
        row = self._rows.setdefault(name, {"stage": name, "what": "", "loss": ""})
        shown = "" if seconds is None else numbers.about(seconds) if state == "to do" else numbers.duration(seconds)
        row |= {"state": state, "time": shown, "what": "" if state == "none" else what or row["what"]}
        self._seconds[name] = seconds if state == "to do" else None
        if state == "running":
            self._curve, self._pace, self._below = Curve(), None, []
        self._draw()

    def due(self) -> bool:
        return self._clock() >= self._next

    def step(
        self,
        name: str,
        step: int,
        steps: int,
        loss: float,
        samples_per_s: float,
        best: Mapping[str, float] | None = None,
    ) -> None:
        self._curve.add(loss)
        now = self._clock()
        self._pace = paced(self._pace, name, step, steps, now)
        if now < self._next:
            return
        row = self._rows.setdefault(name, {"stage": name, "state": "running", "what": ""})
        row |= {"loss": self._curve.text(self._frame.look.encoding), "time": f"{100 * step // steps} %"}
        self._below = self._status(best, samples_per_s, now)
        self._draw()

    def _status(self, best: Mapping[str, float] | None, samples_per_s: float, now: float) -> list[str]:
        assert self._pace is not None, "`step` sets it before this call"
        scores = ", ".join(_best(name, value, self.measures) for name, value in (best or {}).items())
        left_s = self._pace.left(now)
        total = None if left_s is None else left_s + sum(later or 0.0 for later in self._seconds.values())
        return [
            f"step {self._pace.step:,} of {self._pace.steps:,}",
            *([f"best validation: {scores}"] if scores else []),
            f"{samples_per_s:,.0f} samples/s",
            *([] if total is None else [f"~{numbers.duration(total)} left"]),
        ]

    def note(self, text: str) -> None:
        self._frame.note(text)

    def close(self) -> None:
        self._below = []
        if self._frame.started:
            self._draw()
        self._frame.close()

    def _draw(self) -> None:
        self._next = self._clock() + FRAME_S
        table = Table(COLUMNS, list(self._rows.values()))
        self._frame.draw(lambda look: lines(table, look) + wrap(self._below, look.width, between="    "))


def _best(name: str, value: float, measures: Mapping[str, Measure]) -> str:
    """`source_val/accuracy` and 0.987 -> `source 98.7 %`; the name of a metric that is not a share is added."""
    rule, _, metric = name.partition("/")
    side = rule.removesuffix("_val")
    return (
        f"{side} {numbers.percent(value)} %"
        if not metric or measure_in(measures, metric, Measure()).is_share
        else f"{side} {numbers.plain(value)} {metric}"
    )
