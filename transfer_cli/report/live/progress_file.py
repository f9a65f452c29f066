"""The progress of a run for other processes, terminals or machines: a small file in the directory of the run, which is
written at most once a second and removed at the end. No result depends on it."""

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


class ProgressFile(Talk):
    """A Talk that writes the progress of a run into a file, for a sweep that displays it."""

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

    def _put(self, progress: dict[str, Any]) -> None:
        self._next = self._clock() + PAUSE_S
        part = self._path.with_name(f"{NOW}.part")
        with suppress(OSError):  # a display must not end a run
            part.write_text(json.dumps(progress))
            os.replace(part, self._path)


def read_progress(folder: Path) -> dict[str, Any]:
    """The last progress of the run in `folder`: `at`, such as `align 71 %`; `loss`, such as `0.66 ▆▅▄▃▂ 0.21`;
    `left_s`, the remaining seconds or None. Empty if there is no valid file."""
    with suppress(OSError, ValueError):
        progress = json.loads((folder / NOW).read_text())
        if isinstance(progress, dict):
            left_s = progress.get("left_s")
            texts = {name: safe(progress.get(name, "")) for name in ("at", "loss")}
            return texts | {"left_s": left_s if isinstance(left_s, int | float) else None}
    return {}


def progress_text(folder: Path) -> str:
    """The last progress of the run in `folder` as a phrase: `align 71 %, 0.66 ▆▅▄▃▂ 0.21`."""
    progress = read_progress(folder)
    return ", ".join(text for text in (progress.get("at"), progress.get("loss")) if text)
