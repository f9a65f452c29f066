"""Predictions of a finished run for new rows. Computed as in its evaluation, by a head or by a few-label predictor. The
kind defines how a row is read; the scoring of the task defines the form of an answer."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Inputs
from transfer_cli.data.dataset import DataSet, Part
from transfer_cli.engine.device import autocast
from transfer_cli.engine.evaluation import answered
from transfer_cli.engine.loader import Address, StepLoader
from transfer_cli.engine.stage_context import Job, StageContext, scoring_of
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.kinds._kind import Named, inputs_of, kind_reading
from transfer_cli.kinds.texts import tokenizer_of
from transfer_cli.models.tensors import unpack
from transfer_cli.plugins import load_class
from transfer_cli.signals import Stop
from transfer_cli.store.store import Store
from transfer_cli.task_contracts import AnswerColumn, Task, TaskContext

Row = dict[str, Any]
PARTS: tuple[Part, ...] = ("train", "val", "test")
CHUNK = 64


class Predicting:
    """The net of the evaluate stage `key` in the store. `target` opens the data of the run, only if they are needed: a
    predictor needs labelled rows, which the run's `seed` selects. `classes`: the names that the task learned; `reads`:
    the name of the kind of row; `task.verbs`: the commands that the net supports. Raises StoreError or Damaged if the
    stage is not in the store, DataError if the data of a predictor have changed."""

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
        self.model = self.spec["model"]
        self.reads, self.kind = kind_reading(self.model["input"], plugins)
        self.job = Job("predict", key, self.spec, (), {}, plugins=plugins, seed=seed)
        self.task_name, self.task = self._task()
        self.scoring = scoring_of(self.task, plugins)
        self.net = self.context.net(self.job, self.spec["nets"][self.spec["headline"]]).eval()
        self.differentiable = self.spec["predictor"]["predictor"] == "none"
        self.judge = self._head() if self.differentiable else self._predictor()

    def _task(self) -> tuple[str, Task]:
        settings = dict(json.loads(self.context.store.read(self.job.key, "results.json"))["task"])
        name = settings.pop("task")
        context = TaskContext(tuple(self.classes), "the run", tokenizer_of(self.model, self.context.cache))
        task: Task = load_class("tasks", name, self.job.plugins)(context, **settings)
        return name, task

    @property
    def columns(self) -> list[AnswerColumn]:
        """The columns of an answer."""
        return self.scoring.columns()

    def at(self, place: Path) -> list[Named]:
        """The new rows at a path. Raises DataError if there are none."""
        return self.kind.at(place)

    def answers(self, named: Sequence[Named]) -> Iterator[Row]:
        """One answer per row, in order: `path`, the columns of the scoring, and `error`, which is empty unless the row
        cannot be read."""
        for start in range(0, len(named), CHUNK):
            yield from self._chunk(named[start : start + CHUNK])

    def answer(self, value: Any, name: str) -> Row:
        """The answer to one row. Raises DataError if it cannot be read."""
        opened = self.kind.opened(value, self.model)
        return {"path": name, "error": "", **self._answers([opened])[0]}

    def _chunk(self, named: Sequence[Named]) -> list[Row]:
        rows: list[Row] = [{"path": name, "error": ""} for name, _ in named]
        good: list[tuple[Row, Any]] = []
        for row, (_, value) in zip(rows, named, strict=True):
            try:
                good.append((row, self.kind.opened(value, self.model)))
            except DataError as error:
                row["error"] = error.faults[0].text
        if good:
            for (row, _), answer in zip(good, self._answers([value for _, value in good]), strict=True):
                row |= answer
        return rows

    def _answers(self, opened: Sequence[Any]) -> list[Row]:
        loader = self._loader(opened)
        out: list[Row] = [{} for _ in opened]
        for batch in loader.whole():
            given = [opened[place] for place in batch.index.tolist()]
            answers = self.scoring.answers(self.ask(batch), batch, given)
            for place, answer in zip(batch.index.tolist(), answers, strict=True):
                out[place] = answer
        return out

    def _loader(self, opened: Sequence[Any]) -> StepLoader:
        items = self.kind.batch(opened, self.model, self.context.cache, self.context.device)
        items = self.task.new_rows(items, opened)
        return StepLoader(items, Address(0, "predict", "files"), batch=len(items), views=("none",))

    @torch.no_grad()
    def ask(self, batch: Batch) -> Any:
        """The output of the net or of the predictor for a batch, computed in the precision of the run."""
        with autocast(self.context.device, self.precision):
            answer = self.scoring.ask(self.net, batch) if self.differentiable else self.net.features(batch.inputs)
        return answer if self.differentiable else self.judge(answer.float())

    @property
    def precision(self) -> str:
        """The precision of the run's net: "fp32" or "bf16"."""
        return self.context.precision(self.job)

    def opened(self, value: Any) -> Any:
        """One row in the form that the model needs. Raises DataError if it cannot be read."""
        return self.kind.opened(value, self.model)

    def inputs(self, opened: Sequence[Any]) -> Inputs:
        """The inputs of the net for opened rows."""
        items = self.kind.batch(opened, self.model, self.context.cache, self.context.device)
        return inputs_of(items, torch.arange(len(opened)))

    def scores(self, inputs: Inputs) -> Tensor:
        """The scores [B, C] fp32 of a batch. They have a gradient if `differentiable`, that is, if a head computes
        them."""
        if self.differentiable:
            out: Tensor = self.task.forward(self.net, inputs)
            return out.float()
        return self.judge(self.net.features(inputs).float())

    def stored_scores(self, most: int) -> Iterator[tuple[Inputs, Tensor]]:
        """The inputs of at most `most` evenly spaced test rows, with the scores [B, C] that the run's evaluation stored
        for them. Raises DataError if the data have changed; ConfigError for a run without such scores."""
        entry = json.loads(self.context.store.read(self.job.key, "results.json"))["rules"][self.spec["headline"]]
        scores = unpack(self.context.store.read(self.job.key, f"scores-{entry['scores']}.safetensors"))[0].get("scores")
        if scores is None:
            raise ConfigError(Fault("run", "its answers are not one class a row, so there is nothing to compare with"))
        data = self._unchanged("test", self.spec["test"], "the check reads it")
        job = replace(self.job, data={"target": data})
        items = self.context.loader(job, "target", "test", seed=job.seed).items
        chosen = np.unique(np.linspace(0, len(items) - 1, min(most, len(items))).round().astype(np.int64))
        for index in torch.from_numpy(chosen).split(CHUNK):
            yield items.gather(index, "none", np.random.default_rng)[0], scores[index]

    def _unchanged(self, part: Part, key: Any, why: str) -> DataSet:
        """The target data of the run. Raises DataError if the rows of `part` do not have the data key `key`."""
        data = self.target()
        if data.key(part, labelled=True, seed=self.job.seed) != key:
            text = f"has changed since the run was evaluated, and {why}"
            raise DataError(Fault(data.title, text, do="restore the data, or run the same words again"))
        return data

    def features(self, data: DataSet) -> dict[str, np.ndarray]:
        """Features of all rows of `data` and their labels, for each part that exists: `train_features` float32 [N, D],
        `train_labels` int64 [N], and so on. Raises DataError for rows that do not fit the model."""
        job = Job("predict", self.job.key, self.spec, (), {"target": data}, plugins=self.job.plugins)
        self.kind.fit(self.model["input"], data, None, 0, self.context.cache)
        arrays: dict[str, np.ndarray] = {}
        for part in [part for part in PARTS if data.has(part, labelled=False)]:
            features, labels = self.context.loader(job, "target", part, labelled=False).features(self.net)
            arrays |= {f"{part}_features": features.cpu().numpy(), f"{part}_labels": labels.cpu().numpy()}
        return arrays

    def _head(self) -> Callable[[Tensor], Tensor]:
        self.task.settle(self.net, "the run")
        head: Callable[[Tensor], Tensor] = self.net.heads[self.task.head]
        return head

    def _predictor(self) -> Callable[[Tensor], Tensor]:
        settings = dict(self.spec["predictor"])
        predictor = load_class("predictors", settings.pop("predictor"), self.job.plugins)(**settings)
        data = self._unchanged("train", self.spec["support"], "this predictor reads it")
        job = replace(self.job, data={"target": data})
        support, learned = self.context.loader(job, "target", "train", seed=job.seed).features(self.net)
        return lambda query: answered(predictor, self.task, support, learned, query)
