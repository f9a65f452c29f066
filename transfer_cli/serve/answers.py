"""Predictions and explanations of a finished run for one picture, text or vector, as JSON values. Handles one request
at a time."""

import io
import math
from base64 import b64encode
from threading import Lock
from typing import Any

from PIL import Image

from transfer_cli.engine.predict import Predicting
from transfer_cli.errors import ConfigError
from transfer_cli.explain.explaining import Explaining, Reason
from transfer_cli.serve.asked import Asked, Refused

Json = dict[str, Any]


class Answers:
    """Answers requests with engine.predict.Predicting. `about` describes what the run can do. Methods raise Refused or
    TransferError; any other exception is a bug."""

    def __init__(self, predicting: Predicting) -> None:
        self._predicting, self.kind = predicting, predicting.kind
        self._lock = Lock()
        self._explaining: Explaining | None = None
        self._why_not = ""
        try:
            self._explaining = Explaining(predicting)
        except ConfigError as error:
            self._why_not = error.faults[0].text

    @property
    def about(self) -> Json:
        """What the run reads, its task and classes, and whether it can explain predictions."""
        explains = self._explaining is not None
        return {
            "reads": self._predicting.reads,
            "task": self._predicting.task_name,
            "classes": self._predicting.classes,
            "explains": explains,
            "why_not": self._why_not,
        }

    def predict(self, asked: Asked) -> Json:
        """The same answer as `transfer predict`, by column; for classification, the class and the probabilities.

        Raises DataError for an input that cannot be read."""
        with self._lock:
            row = self._predicting.answer(asked, self.kind.field or self.kind.one)
        chances = {name[2:]: value for name, value in row.items() if name.startswith("p_")}
        if "class" in row:
            return _chances(chances)
        return {name: _plain(value) for name, value in row.items() if name not in ("path", "error")}

    def explain(self, asked: Asked) -> Json:
        """The class, the probabilities, and explanations of the most likely classes, as in `transfer explain`.

        Raises Refused if the run cannot explain, DataError for an input that cannot be read."""
        if self._explaining is None:
            raise Refused(422, self._why_not)
        with self._lock:
            answer = self._explaining.row(asked)
        return {**_chances(answer.chances), "reasons": [_reason(reason) for reason in answer.reasons]}


def _plain(value: Any) -> Any:
    return _number(value) if isinstance(value, float) else value


def _chances(chances: dict[str, float]) -> Json:
    best = max(chances, key=lambda label: chances[label])
    return {"class": best, "probabilities": {label: _number(chance) for label, chance in chances.items()}}


def _reason(reason: Reason) -> Json:
    fields: Json = {
        "class": reason.label,
        "probability": _number(reason.test.before),
        "by": reason.by,
        "without": _number(reason.test.without),
        "without_random": _number(reason.test.random),
    }
    if reason.drawing is not None:
        return fields | {"drawing": _data_url(reason.drawing)}
    return fields | {"pieces": [[piece, _number(value)] for piece, value in reason.pieces]}


def _data_url(drawing: Image.Image) -> str:
    stream = io.BytesIO()
    drawing.save(stream, "PNG")
    return f"data:image/png;base64,{b64encode(stream.getvalue()).decode()}"


def _number(value: float) -> float | None:
    """`value`, or None for nan, which JSON does not have: a text without its only word has no probability."""
    return value if math.isfinite(value) else None
