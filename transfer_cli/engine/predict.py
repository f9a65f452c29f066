"""Predictions of a finished run for new pictures, texts or vectors: the net, head or predictor its evaluate stage
scored. And the features its net has of a data set."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from transfer_cli.contracts import Inputs
from transfer_cli.data.dataset import DataSet, Part
from transfer_cli.data.formats.decode import Fit, fitted, picture
from transfer_cli.data.placement import placed
from transfer_cli.data.tasks import Classification
from transfer_cli.engine import inference
from transfer_cli.engine.evaluation import settle_head
from transfer_cli.engine.loader import Address, StepLoader
from transfer_cli.engine.stage_context import Job, StageContext
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.kinds._items import DeviceDataset, tokenizer_of
from transfer_cli.kinds.pictures import Images
from transfer_cli.kinds.texts import Texts, flat
from transfer_cli.kinds.vectors import Vectors
from transfer_cli.models.tensors import unpack
from transfer_cli.plugins import load_class
from transfer_cli.predictors.support import as_logits
from transfer_cli.signals import Stop
from transfer_cli.store.store import Store

Row = dict[str, Any]
PARTS: tuple[Part, ...] = ("train", "val", "test")
CHUNK = 64


class Predicting:
    """Built from the evaluate stage `key` in the store; `target` is opened only for a predictor, which needs its
    labelled rows, drawn by the run's `seed`. Called with files of pictures, with texts by name or with a matrix, gives
    a row each: path, class, probabilities [C], error. `reads` says which."""

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
        self.context = StageContext(store, torch.device("cpu"), cache, None, Stop(), lambda: None)
        given = self.spec["model"]["input"]
        self.reads = "texts" if "tokenizer" in given else "vectors" if "width" in given else "pictures"
        self.job = Job("predict", key, self.spec, (), {}, plugins=plugins, seed=seed)
        self.net = self.context.net(self.job, self.spec["nets"][self.spec["headline"]]).eval()
        self.task = Classification(self.classes)
        self.differentiable = self.spec["predictor"]["predictor"] == "none"
        self.judge = self._head() if self.differentiable else self._predictor()

    def pictures(self, paths: Sequence[Path]) -> Iterator[Row]:
        for start in range(0, len(paths), CHUNK):
            yield from self._chunk(paths[start : start + CHUNK])

    def picture(self, image: Image.Image, name: str) -> Row:
        """Row of one decoded picture."""
        row = _row(name)
        self._score([row], self._images([self.fitted(image)]))
        return row

    def texts(self, named: Sequence[tuple[str, str]]) -> Iterator[Row]:
        """Rows of (name, text)."""
        tokenizer = tokenizer_of(self.spec["model"], self.context.cache)
        assert tokenizer is not None, "asked only of a net that reads texts"
        length = int(self.spec["model"]["input"]["length"])
        for start in range(0, len(named), CHUNK):
            part = named[start : start + CHUNK]
            rows: list[Row] = [_row(name) for name, _ in part]
            found = flat(tokenizer.encode([text for _, text in part]))
            items = Texts(found, _unlabelled(len(part)), length=length, policy="none", device=self.context.device)
            self._score(rows, items)
            yield from rows

    def vectors(self, name: str, matrix: np.ndarray) -> Iterator[Row]:
        """Rows of a matrix [N, D]; `name` is where they come from. Raises DataError for another width."""
        self._fits(name, matrix.shape[1])
        for start in range(0, len(matrix), CHUNK):
            values = torch.from_numpy(matrix[start : start + CHUNK]).to(self.context.device)
            rows = [_row(f"{name} row {start + i + 1}") for i in range(len(values))]
            self._score(rows, Vectors(values, _unlabelled(len(rows)), policy="none", device=self.context.device))
            yield from rows

    def _fits(self, name: str, width: int) -> None:
        if width != (wanted := self.spec["model"]["input"]["width"]):
            raise DataError(Fault(name, f"has {width:,} numbers a row, the net of the run reads {wanted:,}"))

    @property
    def precision(self) -> str:
        """In which the run's net computes."""
        return self.context.precision(self.job)

    def told(self, most: int) -> Iterator[tuple[Inputs, Tensor]]:
        """Inputs of at most `most` test rows, spread over them all, with the scores [B, C] that the run's evaluation
        stored for them. Raises DataError if the data are no longer those; ConfigError for a run without classes."""
        found = json.loads(self.context.store.read(self.job.key, "results.json"))["rules"][self.spec["headline"]]
        scores = unpack(self.context.store.read(self.job.key, f"scores-{found['scores']}.safetensors"))[0].get("scores")
        if scores is None:
            raise ConfigError(Fault("run", "its answers are not one class a row, so there is nothing to compare with"))
        data = self._unchanged("test", self.spec["test"], "the check reads it")
        job = replace(self.job, data={"target": data})
        items = self.context.loader(job, "target", "test", seed=job.seed).items
        chosen = np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(np.int64))
        for index in torch.from_numpy(chosen).split(CHUNK):
            yield items.gather(index, "none", np.random.default_rng)[0], scores[index]

    def _unchanged(self, part: Part, key: Any, why: str) -> DataSet:
        """The run's target. Raises DataError if the rows of a part are not those of `key`."""
        data = self.target()
        if data.key(part, labelled=True, seed=self.job.seed) != key:
            text = f"is not what it was when the run was evaluated, and {why}"
            raise DataError(Fault(data.title, text, do="bring the data back, or run the same words again"))
        return data

    def features(self, data: DataSet) -> dict[str, np.ndarray]:
        """`train_features` float32 [N, D], `train_labels` int64 [N], and so on for the parts there are: all rows, with
        the labels of the data. Raises DataError for vectors of another width."""
        job = Job("predict", self.job.key, self.spec, (), {"target": data}, plugins=self.job.plugins)
        if self.reads == "vectors":
            self._fits(data.title, data.raw.parts["train"].read().shape[1])
        found: dict[str, np.ndarray] = {}
        for part in [part for part in PARTS if data.has(part, labelled=False)]:
            features, labels = self.context.loader(job, "target", part, labelled=False).features(self.net)
            found |= {f"{part}_features": features.cpu().numpy(), f"{part}_labels": labels.cpu().numpy()}
        return found

    def _chunk(self, paths: Sequence[Path]) -> list[Row]:
        rows = [_row(str(path)) for path in paths]
        good: list[tuple[Row, np.ndarray]] = []
        for row, path in zip(rows, paths, strict=True):
            try:
                good.append((row, self.fitted(picture(path))))
            except DataError as error:
                row["error"] = error.faults[0].text
        if good:
            self._score([row for row, _ in good], self._images([pixels for _, pixels in good]))
        return rows

    def fitted(self, image: Image.Image) -> np.ndarray:
        """uint8 [C, H, W]: what the net sees of a picture."""
        return fitted(image, Fit.of(self.spec["model"]["input"]))

    def inputs(self, pictures: Sequence[np.ndarray]) -> Inputs:
        """What the net reads, of pictures that are `fitted`."""
        return self._images(pictures).gather(torch.arange(len(pictures)), "none", np.random.default_rng)[0]

    def _images(self, pictures: Sequence[np.ndarray]) -> Images:
        # a picture's channels may lie last in memory, and numpy would keep that order
        pixels = placed(np.ascontiguousarray(np.stack(pictures)), self.context.device)
        view = _unlabelled(len(pictures))
        return Images(pixels, view, self.spec["model"], policy="none", flip=False, device=self.context.device)

    def _score(self, rows: Sequence[Row], items: DeviceDataset) -> None:
        loader = StepLoader(items, Address(0, "predict", "files"), batch=len(items), views=("none",))
        for row, chances in zip(rows, self.score(loader).softmax(1).tolist(), strict=True):
            row |= {"class": self.classes[int(np.argmax(chances))], "probabilities": chances}

    def scores(self, inputs: Inputs) -> Tensor:
        """Scores [B, C] float32 of a batch, with their gradient where the answer is `differentiable`: a head's."""
        if self.differentiable:
            found: Tensor = self.net(inputs, self.task.head)
            return found.float()
        return self.judge(self.net.features(inputs).float())

    def score(self, loader: StepLoader) -> Tensor:
        """Scores [N, C] of every row."""
        precision = self.context.precision(self.job)
        if self.differentiable:
            return inference.rows(self.net, self.task, loader, precision)["scores"]
        return self.judge(inference.features(self.net, loader, precision))

    def _head(self) -> Callable[[Tensor], Tensor]:
        settle_head(self.net, self.task, "the run")
        return self.net.head(self.task.head)

    def _predictor(self) -> Callable[[Tensor], Tensor]:
        settings: Mapping[str, Any] = self.spec["predictor"]
        kind = load_class("predictors", settings["predictor"], self.job.plugins)
        predictor = kind(**{name: value for name, value in settings.items() if name != "predictor"})
        data = self._unchanged("train", self.spec["support"], "this predictor reads it")
        job = replace(self.job, data={"target": data})
        support, labels = self.context.loader(job, "target", "train", seed=job.seed).features(self.net)

        def judge(query: Tensor) -> Tensor:
            scores: Tensor = predictor.scores(support[None], labels[None], query[None], len(self.classes))
            return as_logits(predictor, scores[0])

        return judge


def _row(name: str) -> Row:
    return {"path": name, "class": "", "probabilities": [], "error": ""}


def _unlabelled(count: int) -> Any:
    """All of `count` rows, in order."""
    return SimpleNamespace(index=np.arange(count), labels=np.zeros(count, np.int64))
