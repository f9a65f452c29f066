"""Features of target and source by the nets a run began and ended its transfer with, and what can be said of them: a
plane to look at, and how well the two can be told apart. Rows of train; labels only name points."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfer_cli.contracts import Loader
from transfer_cli.data.dataset import DataSet
from transfer_cli.engine import inference
from transfer_cli.engine.loader import Address, StepLoader
from transfer_cli.engine.stage_context import Job, StageContext
from transfer_cli.kinds._kind import kind_named
from transfer_cli.metrics.domains import domain_accuracy, principal_axes, proxy_a_distance
from transfer_cli.signals import Stop
from transfer_cli.store.store import Store

ROWS = 400  # of each side, drawn without labels
FEWEST = 8  # rows of a side that a domain classifier wants
TRANSFER = ("align", "fine_tune")


@dataclass(frozen=True)
class Seen:
    """Features [N, D] of both sides by one net. `plane`: their first two principal directions, [N, 2] a side, and the
    share of the variance in it. `accuracy` and `distance` of a classifier of the side, None without a source."""

    features: Mapping[str, Tensor]
    plane: Mapping[str, Tensor]
    explained: float
    accuracy: float | None
    distance: float | None


@dataclass(frozen=True)
class Clouds:
    """`before` transfer and after it; None where the features stayed as they were. `classes` names each row."""

    before: Seen
    after: Seen | None
    classes: Mapping[str, Sequence[str]]


class FeatureViews:
    """Through the nets of a run whose stages (name, key) lie in the store. `data` holds "target" and, where there is
    one, "source". Data are converted once for all runs of one instance."""

    def __init__(self, store: Store, cache: Path, *, plugins: tuple[str, ...] = ()) -> None:
        self.context = StageContext(store, torch.device("cpu"), cache, None, Stop(), lambda: None)
        self.plugins = plugins
        self._seen: dict[str, Tensor] = {}

    def __call__(self, stages: Sequence[Mapping[str, Any]], data: Mapping[str, DataSet], seed: int = 0) -> Clouds:
        """Raises StoreError (and its like) where a stage is gone, DataError where rows cannot be read."""
        last = str(stages[-1]["key"])
        spec = self._spec(last)
        job = Job("look", last, spec, (), data, plugins=self.plugins, seed=seed)
        after, before = spec["nets"][spec["headline"]], self._start(stages)
        end = {side: self._features(job, side, after) for side in data}
        begin = {side: self._features(job, side, before) for side in data} if before else end
        same = all(torch.equal(begin[side], end[side]) for side in data)
        return Clouds(_seen(begin), None if same else _seen(end), {side: _names(data[side]) for side in data})

    def _spec(self, key: str) -> dict[str, Any]:
        return dict(json.loads(self.context.store.read(key, "stage.json"))["spec"])

    def _start(self, stages: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        """The net that the first stage of transfer began with; None where there is none."""
        first = next((stage for stage in stages if stage["name"] in TRANSFER and stage["key"]), None)
        return dict(self._spec(str(first["key"]))["net"]) if first else None

    def _features(self, job: Job, side: str, ref: dict[str, Any]) -> Tensor:
        data, model, context = job.data[side], job.spec["model"], self.context
        name = json.dumps([data.fingerprint, data.classes, model, ref], default=str, sort_keys=True)
        if name not in self._seen:
            rows = _drawn(data)
            kind = kind_named(data.raw.kind, self.plugins)
            stored = kind.store(data, rows.part, model, context.cache, context.device, lambda: None)
            shown = kind.rows(stored, data, rows, model, context.device)
            loader: Loader = StepLoader(shown, Address(0, "look", side), batch=shown.chunk, views=("none",))
            self._seen[name] = inference.features(context.net(job, ref), loader, context.precision(job)).cpu()
        return self._seen[name]


def _drawn(data: DataSet) -> Any:
    """At most ROWS training rows, the same every time."""
    rows = data.rows("train", labelled=False)
    kept = np.random.default_rng(0).permutation(len(rows.index))[:ROWS]
    return replace(rows, index=rows.index[kept], labels=rows.labels[kept])


def _names(data: DataSet) -> list[str]:
    return [data.classes[label] for label in _drawn(data).labels]


def _seen(features: Mapping[str, Tensor]) -> Seen:
    plane, explained = _plane(features)
    both = {"source", "target"} <= set(features) and min(map(len, features.values())) >= FEWEST
    sides = (features["source"], features["target"]) if both else None
    accuracy, distance = (domain_accuracy(*sides), proxy_a_distance(*sides)) if sides else (None, None)
    return Seen(features, plane, explained, accuracy, distance)


def _plane(features: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], float]:
    points, explained = principal_axes(torch.cat(list(features.values())))
    parts = torch.split(points, [len(part) for part in features.values()])
    return dict(zip(features, parts, strict=True)), explained
