"""How far a run is, told to whoever watches from another process, terminal or machine: a small file in the directory
of the run, renewed at most once a second and gone at the end. Nothing depends on it."""

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from transfer_cli.report.live.progress import Curve, Pace, paced
from transfer_cli.report.live.run_display import Clock, Talk
from transfer_cli.safe import safe

PAUSE_S = 1.0
NOW = ".now"


class Relay(Talk):
    """The Talk of a run that others watch."""

    def __init__(self, folder: Path, clock: Clock = time.monotonic) -> None:
        self._path, self._clock = folder / NOW, clock
        self._next = clock()
        self._curve = Curve()
        self._pace: Pace | None = None

    def stage(self, name: str, state: str, what: str = "", seconds: float | None = None) -> None:
        if state == "running":
            self._curve, self._pace = Curve(), None
            self._put({"at": name})

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
        self._put({"at": f"{name} {100 * step // steps} %", "loss": self._curve.text(), "left_s": self._pace.left(now)})

    def close(self) -> None:
        with suppress(OSError):
            self._path.unlink()

    def _put(self, told: dict[str, Any]) -> None:
        self._next = self._clock() + PAUSE_S
        part = self._path.with_name(f"{NOW}.part")
        with suppress(OSError):  # only for the eye
            part.write_text(json.dumps(told))
            os.replace(part, self._path)


def seen(folder: Path) -> dict[str, Any]:
    """What the run in `folder` told last: `at` `align 71 %`, `loss` `0.66 ▆▅▄▃▂ 0.21`, `left_s`; empty without word."""
    with suppress(OSError, ValueError):
        found = json.loads((folder / NOW).read_text())
        if isinstance(found, dict):
            left = found.get("left_s")
            texts = {name: safe(found.get(name, "")) for name in ("at", "loss")}
            return texts | {"left_s": left if isinstance(left, int | float) else None}
    return {}


def told(folder: Path) -> str:
    """`seen` as a phrase: `align 71 %, 0.66 ▆▅▄▃▂ 0.21`."""
    found = seen(folder)
    return ", ".join(text for text in (found.get("at"), found.get("loss")) if text)
