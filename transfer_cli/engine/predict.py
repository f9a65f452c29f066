"""Predictions of a finished run for new pictures: the net, head or predictor that its evaluate stage scored."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfer_cli.data.dataset import DataSet
from transfer_cli.data.decode import fitted, picture
from transfer_cli.data.images import Images, placed
from transfer_cli.data.tasks import Classification
from transfer_cli.engine import passes
from transfer_cli.engine.bench import Bench, Job
from transfer_cli.engine.evaluate import settle_head
from transfer_cli.engine.feed import Address, StepFeed
from transfer_cli.errors import DataError, Fault
from transfer_cli.plugins import load_class
from transfer_cli.predictors.support import as_logits
from transfer_cli.store.store import Store

Row = dict[str, Any]


class Predicting:
    """Built from the evaluate stage `key` in the store; `target` is opened only for a predictor, which needs its
    labelled rows, drawn by the run's `seed`. Called with files, gives a row each: path, class, probabilities [C],
    error."""

    def __init__(
        self,
        store: Store,
        key: str,
        cache: Path,
        target: Callable[[], DataSet],
        *,
        plugins: tuple[str, ...] = (),
        seed: int = 0,
    ) -> None:
        self.spec = json.loads(store.read(key, "stage.json"))["spec"]
        self.classes: list[str] = self.spec["classes"]
        self.target = target
        self.bench = Bench(store, torch.device("cpu"), cache, None, lambda: None, lambda: None)
        self.job = Job("predict", key, self.spec, (), {}, plugins=plugins, seed=seed)
        self.net = self.bench.net(self.job, self.spec["nets"][self.spec["headline"]]).eval()
        self.score = self._by_head if self.spec["predictor"]["predictor"] == "none" else self._by_predictor()

    def __call__(self, paths: Sequence[Path]) -> Iterator[Row]:
        size = 64
        for start in range(0, len(paths), size):
            yield from self._chunk(paths[start : start + size])

    def _chunk(self, paths: Sequence[Path]) -> list[Row]:
        rows: list[Row] = [{"path": str(path), "class": "", "probabilities": [], "error": ""} for path in paths]
        good: list[tuple[Row, np.ndarray]] = []
        spec = self.spec["model"]["input"]
        for row, path in zip(rows, paths, strict=True):
            try:
                good.append((row, fitted(picture(path), spec["channels"], spec["size"], spec["crop"])))
            except DataError as error:
                row["error"] = error.faults[0].text
        if good:
            # a picture's channels may lie last in memory, and numpy would keep that order
            stacked = np.ascontiguousarray(np.stack([pixels for _, pixels in good]))
            scores = self.score(self._feed(stacked))
            for (row, _), chances in zip(good, scores.softmax(1).tolist(), strict=True):
                best = int(np.argmax(chances))
                row |= {"class": self.classes[best], "probabilities": chances}
        return rows

    def _feed(self, pixels: np.ndarray) -> StepFeed:
        rows: Any = SimpleNamespace(index=np.arange(len(pixels)), labels=np.zeros(len(pixels), np.int64))
        device = self.bench.device
        items = Images(placed(pixels, device), rows, self.spec["model"], policy="none", flip=False, device=device)
        return StepFeed(items, Address(0, "predict", "files"), batch=len(pixels), views=("none",))

    def _by_head(self, feed: StepFeed) -> Tensor:
        task = Classification(self.classes)
        settle_head(self.net, task, "the run")
        return passes.rows(self.net, task, feed, self.bench.precision(self.job))["scores"]

    def _by_predictor(self) -> Callable[[StepFeed], Tensor]:
        settings: Mapping[str, Any] = self.spec["predictor"]
        kind = load_class("predictors", settings["predictor"], self.job.plugins)
        predictor = kind(**{name: value for name, value in settings.items() if name != "predictor"})
        data = self.target()
        if data.key("train", labelled=True, seed=self.job.seed) != self.spec["support"]:
            text = "is not what it was when the run was evaluated, and this predictor reads it"
            raise DataError(Fault(data.title, text, do="bring the data back, or run the same words again"))
        job = Job(
            "predict", self.job.key, self.spec, (), {"target": data}, plugins=self.job.plugins, seed=self.job.seed
        )
        support, labels = self.bench.feed(job, "target", "train", seed=job.seed).features(self.net)

        def score(feed: StepFeed) -> Tensor:
            query = passes.features(self.net, feed, self.bench.precision(job))
            scores: Tensor = predictor.scores(support[None], labels[None], query[None], len(self.classes))
            return as_logits(predictor, scores[0])

        return score
