"""Views: additional scores of a net by domain, by group of classes, or under attack.

A group of classes selects rows, it does not restrict the predictions: its rows are still scored over all classes, as in
class-incremental learning (van de Ven & Tolias 2019, arXiv:1904.07734)."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Rows
from transfer_cli.engine import inference
from transfer_cli.engine.device import autocast
from transfer_cli.engine.loader import Address, StepLoader
from transfer_cli.engine.pixels import Normalisation, normalisation
from transfer_cli.engine.stage_context import Job, StageContext
from transfer_cli.errors import ConfigError, DataError, Fault
from transfer_cli.losses.adversarial_examples import attacked
from transfer_cli.models.net import input_spec
from transfer_cli.task_contracts import Scoring, Task

KEY = "evaluate.views"
View = Mapping[str, Any]


def check(job: Job, device: torch.device) -> None:
    """Raises ConfigError for an attack on a model that does not read pixels, or on a predictor, which has no
    gradient."""
    attacks = [view for view in job.spec.get("views", ()) if "attack" in view]
    if not attacks:
        return
    name = attacks[0]["attack"]
    if normalisation(input_spec(job.spec["model"], job.plugins), device) is None:
        raise ConfigError(Fault(KEY, "an attack changes pixels, and this model reads none", name, do="leave it out"))
    if (predictor := job.spec["predictor"]["predictor"]) != "none":
        text = f"an attack needs the gradient of the net's head, and predictor={predictor} replaces the head"
        raise ConfigError(Fault(KEY, text, name, do="strategy=fine_tune or linear_probe"))


def rows_by_view(
    job: Job, context: StageContext, net: Any, scoring: Scoring, rows: Rows, test: StepLoader
) -> Iterator[tuple[str, Rows]]:
    """Yields the name of each view and the values of its rows that metrics need. `rows` are those of the whole part.
    Raises DataError for a view without rows."""
    for view in job.spec.get("views", ()):
        context.stop()
        if "attack" in view:
            loader: Any = Attack(net, scoring.task, test, context.precision(job), view)
            yield view["name"], inference.rows(net, scoring, loader, context.precision(job))
            continue
        chosen = torch.from_numpy(_chosen(job, view, test))
        if not len(chosen):
            raise DataError(Fault(KEY, "no row to score is of this view", view["name"]))
        yield view["name"], {name: x.index_select(0, chosen.to(x.device)) for name, x in rows.items()}


def long_rows(view: str, task: str, judged: Mapping[str, Any], count: int) -> list[dict[str, Any]]:
    """One row per metric, {view, task, metric, value, lo, hi, n}. `judged`: the metrics and intervals over `count`
    rows. `lo` and `hi` are the ends of the 95 % interval, None without an interval. Metrics of single classes are
    omitted."""
    table = []
    for name, value in judged["metrics"].items():
        metric = name.partition("/")[2]
        if "/" in metric:
            continue
        lo, hi = (end if math.isfinite(end) else None for end in judged["intervals"].get(name, (math.nan, math.nan)))
        table.append({"view": view, "task": task, "metric": metric, "value": value, "lo": lo, "hi": hi, "n": count})
    return table


def _chosen(job: Job, view: View, test: StepLoader) -> np.ndarray:
    """The positions of a view's rows among the scored rows, ascending."""
    data = job.data["target"].seen_as(())  # the classes of the data, not those of the net
    if "domain" in view:
        assert test.items.domains is not None, "checked by the plan"
        return np.flatnonzero(test.items.domains.cpu().numpy() == data.raw.domains.index(view["domain"]))
    labels = data.rows(job.spec.get("part", "test"), seed=job.seed).labels
    if len(labels) != test.rows:
        raise ConfigError(Fault(KEY, f"{test.items.noun} of {data.title} have no classes", view["name"]))
    return np.flatnonzero(np.isin(labels, [data.classes.index(name) for name in view["classes"]]))


@dataclass(frozen=True)
class Attack:
    """A loader that yields every row of `test` once, with pixels changed to increase the loss of `net`. `view`:
    `attack` "fgsm" or "pgd", `eps` and `rate` in units of pixels in [0, 1], and `steps`. The attack changes the pixels
    that the net reads, after resizing and cropping. The random start of a row is seeded by its position, so it does not
    depend on the batch size."""

    net: Any
    task: Task
    test: StepLoader
    precision: str
    view: View

    def whole(self, batch: int | None = None) -> Iterator[Batch]:
        """Every row once, with changed pixels. Sets `requires_grad` of the net's parameters to False."""
        self.net.requires_grad_(False)
        for rows in self.test.whole(batch):
            scale = normalisation(self.net.input, rows.index.device)
            assert scale is not None, "checked"
            yield replace(rows, inputs=rows.inputs | {"pixels": self._moved(rows, scale)})

    def _moved(self, rows: Batch, scale: Normalisation) -> Tensor:
        def loss(pixels: Tensor) -> Tensor:
            """The sum over rows, so that the gradient of a row depends only on that row."""
            with autocast(pixels.device, self.precision):
                out = self.task.forward(self.net, rows.inputs | {"pixels": scale.inputs(pixels)})
            return self.task.loss(out, rows) * len(rows)

        clean, view = scale.pixels(rows.inputs["pixels"]), self.view
        start = self._start(rows.index, clean) if view["attack"] == "pgd" else None
        moved = attacked(loss, clean, eps=view["eps"], steps=view["steps"], rate=view["rate"], start=start)
        return scale.inputs(moved)

    def _start(self, index: Tensor, clean: Tensor) -> Tensor:
        address, reach = Address(0, "evaluate", "attack"), self.view["eps"]
        noise = [address.rng("start", row).uniform(-reach, reach, clean.shape[1:]) for row in index.tolist()]
        return torch.from_numpy(np.stack(noise)).to(clean)
