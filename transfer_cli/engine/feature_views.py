"""Features of target and source before and after the transfer of a run. Also a two-dimensional projection, and the
accuracy of a classifier that separates the two domains. Uses training rows; labels only name the points."""

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

ROWS = 400  # per domain, drawn without labels
FEWEST = 8  # rows per domain that a domain classifier needs
TRANSFER = ("align", "fine_tune")


@dataclass(frozen=True)
class NetFeatures:
    """Features of one net. `features`: [N, D] by domain. `plane`: coordinates on the first two principal axes, [N, 2]
    by domain. `explained`: the share of the variance in this plane. `accuracy` of a domain classifier and the proxy
    A-`distance` derived from it; None without a source or with too few rows."""

    features: Mapping[str, Tensor]
    plane: Mapping[str, Tensor]
    explained: float
    accuracy: float | None
    distance: float | None


@dataclass(frozen=True)
class Clouds:
    """Features `before` and `after` the transfer; `after` is None if the transfer did not change them. `classes`: the
    class name of each row, by domain."""

    before: NetFeatures
    after: NetFeatures | None
    classes: Mapping[str, Sequence[str]]


class FeatureViews:
    """Extracts features with a run's stored nets. Called with the stages (name, key) of the run and its data: "target"
    and, if it has one, "source". Data are converted once for all runs of one instance."""

    def __init__(self, store: Store, cache: Path, *, plugins: tuple[str, ...] = ()) -> None:
        self.context = StageContext(store, torch.device("cpu"), cache, None, Stop(), lambda: None)
        self.plugins = plugins
        self._features_by_name: dict[str, Tensor] = {}

    def __call__(self, stages: Sequence[Mapping[str, Any]], data: Mapping[str, DataSet], seed: int = 0) -> Clouds:
        """Raises StoreError or Damaged if a stage is missing, DataError if rows cannot be read."""
        last = str(stages[-1]["key"])
        spec = self._spec(last)
        job = Job("look", last, spec, (), data, plugins=self.plugins, seed=seed)
        after, before = spec["nets"][spec["headline"]], self._start(stages)
        end = {side: self._features(job, side, after) for side in data}
        begin = {side: self._features(job, side, before) for side in data} if before else end
        same = all(torch.equal(begin[side], end[side]) for side in data)
        return Clouds(_projected(begin), None if same else _projected(end), {side: _names(data[side]) for side in data})

    def _spec(self, key: str) -> dict[str, Any]:
        return dict(json.loads(self.context.store.read(key, "stage.json"))["spec"])

    def _start(self, stages: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        """The initial net of the first transfer stage; None if the run has no such stage."""
        first = next((stage for stage in stages if stage["name"] in TRANSFER and stage["key"]), None)
        return dict(self._spec(str(first["key"]))["net"]) if first else None

    def _features(self, job: Job, side: str, ref: dict[str, Any]) -> Tensor:
        data, model, context = job.data[side], job.spec["model"], self.context
        name = json.dumps([data.fingerprint, data.classes, model, ref], default=str, sort_keys=True)
        if name not in self._features_by_name:
            rows = _drawn(data)
            kind = kind_named(data.raw.kind, self.plugins)
            stored = kind.store(data, rows.part, model, context.cache, context.device, lambda: None)
            items = kind.rows(stored, data, rows, model, context.device)
            loader: Loader = StepLoader(items, Address(0, "look", side), batch=items.chunk, views=("none",))
            features = inference.features(context.net(job, ref), loader, context.precision(job))
            self._features_by_name[name] = features.cpu()
        return self._features_by_name[name]


def _drawn(data: DataSet) -> Any:
    """At most ROWS training rows; the same rows on every call."""
    rows = data.rows("train", labelled=False)
    chosen = np.random.default_rng(0).permutation(len(rows.index))[:ROWS]
    return replace(rows, index=rows.index[chosen], labels=rows.labels[chosen])


def _names(data: DataSet) -> list[str]:
    return [data.classes[label] for label in _drawn(data).labels]


def _projected(features: Mapping[str, Tensor]) -> NetFeatures:
    plane, explained = _plane(features)
    both = {"source", "target"} <= set(features) and min(map(len, features.values())) >= FEWEST
    sides = (features["source"], features["target"]) if both else None
    accuracy, distance = (domain_accuracy(*sides), proxy_a_distance(*sides)) if sides else (None, None)
    return NetFeatures(features, plane, explained, accuracy, distance)


def _plane(features: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], float]:
    points, explained = principal_axes(torch.cat(list(features.values())))
    parts = torch.split(points, [len(part) for part in features.values()])
    return dict(zip(features, parts, strict=True)), explained
