"""Scores of a net for a target before any training: each with what shuffled labels score, how far it may be off, and
its time. Reads training rows only, by way of the feature cache."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from transfer_cli.contracts import Loader
from transfer_cli.data.dataset import DataSet
from transfer_cli.engine.stage_context import Job, StageContext
from transfer_cli.losses.coral import coral
from transfer_cli.models.weights import HEAD, load
from transfer_cli.transferability.a_distance import a_distance
from transfer_cli.transferability.h_score import h_score, h_score_shrunk
from transfer_cli.transferability.leep import leep
from transfer_cli.transferability.logme import logme
from transfer_cli.transferability.mmd import mmd
from transfer_cli.transferability.nce import nce
from transfer_cli.transferability.nearest import nearest
from transfer_cli.transferability.probe import probe
from transfer_cli.transferability.transrate import transrate

SHUFFLES, THINNED, KEPT = 20, 10, 0.8
MOST_ROWS = 2_000  # scored; more sharpen a score that is sharp enough to rank by
MOST_APART = 500  # rows of each side whose distance is measured
OF_FEATURES = {
    "logme": logme, "h_score_shrunk": h_score_shrunk, "probe": probe, "nearest": nearest, "transrate": transrate,
    "h_score": h_score,
}  # fmt: skip
OF_CLASSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"leep": leep, "nce": lambda p, y: nce(p.argmax(1), y)}
DISTANCES = {"mmd": mmd, "coral": coral, "a_distance": a_distance}


@dataclass(frozen=True)
class Figure:
    """A score: its `value` with its standard `error` (of `freedom` degrees), the values of `shuffled` labels, and the
    `seconds` it took alone."""

    value: float
    error: float
    freedom: int
    shuffled: list[float]
    seconds: float


@dataclass(frozen=True)
class Ranked:
    """A candidate: scores and distances by name, empty where it has no classes or no source; `rows` scored of `of`."""

    rows: int
    of: int
    features_s: float
    scores: Mapping[str, Figure] = field(default_factory=dict)
    distances: Mapping[str, Figure] = field(default_factory=dict)


def net_of(context: StageContext, job: Job, ref: Mapping[str, Any]) -> Any:
    """The net that a candidate starts from: of a file, of a stage in the store, or untaught."""
    if job.weights is None:
        return context.net(job, dict(ref)).eval()
    net = context.net(job, {"init": 0})
    load(net, job.weights)
    return net.eval()


@torch.no_grad()
def ranked(context: StageContext, job: Job, net: Any, *, every: bool = False) -> Ranked:
    """Scores of `net` on the target's labelled training rows, `every` one or at most MOST_ROWS of them, and how far
    features of the source lie from them. The rows, and how they are drawn and shuffled, are the same for every net."""
    features, labels, seconds = _features(context.loader(job, "target", "train", seed=job.seed), net)
    of = len(labels)
    kept = torch.arange(of) if every else some(labels, MOST_ROWS)
    x, y = features[kept], labels[kept]
    scores = {name: figure(score, x, y, context.stop) for name, score in OF_FEATURES.items()}
    if HEAD in net.heads:
        head = net.head(HEAD)
        chances = linear(x, head.weight.cpu(), head.bias.cpu()).double().softmax(1)
        scores |= {name: figure(score, chances, y, context.stop) for name, score in OF_CLASSES.items()}
    distances: dict[str, Figure] = {}
    if "source" in job.data:
        there, took = _source(context, job, net)
        seconds += took
        distances = _apart(there, x, context.stop)
    return Ranked(len(y), of, seconds, scores, distances)


def _source(context: StageContext, job: Job, net: Any) -> tuple[Tensor, float]:
    """Features of validation rows of the source, which the net did not learn from; of training rows if there are
    none."""
    data: DataSet = job.data["source"]
    part = "val" if data.has("val", labelled=False) else "train"
    found, _, seconds = _features(context.loader(job, "source", part, labelled=False), net)
    return found, seconds


def _features(loader: Loader, net: Any) -> tuple[Tensor, Tensor, float]:
    start = time.perf_counter()
    features, labels = loader.features(net)
    return features.cpu(), labels.cpu(), time.perf_counter() - start


def figure(
    score: Callable[[Tensor, Tensor], Tensor], x: Tensor, labels: Tensor, poll: Callable[[], None] = lambda: None
) -> Figure:
    """A score of x [N, D] and labels [N]. Its error is a jackknife's that leaves out a fifth of the rows, class by
    class (Shao & Wu 1989, Ann. Statist. 17): a bootstrap holds copies of rows, which neighbours find and a fit in many
    features knows by heart."""
    start = time.perf_counter()
    value = float(score(x, labels))
    seconds = time.perf_counter() - start
    poll()
    shuffled = score(x, torch.stack([labels[torch.randperm(len(labels), generator=_draw(s))] for s in range(SHUFFLES)]))
    thinned = []
    for number in range(THINNED):
        poll()
        kept = some(labels, round(KEPT * len(labels)), seed=number)
        thinned.append(score(x[kept], labels[kept]))
    error = float(torch.stack(thinned).std()) * sqrt(KEPT / (1 - KEPT))
    return Figure(value, error, THINNED - 1, shuffled.tolist(), seconds)


def some(labels: Tensor, most: int, seed: int = 0) -> Tensor:
    """About `most` of the rows, ascending: of each class its share, one at least; all rows if there are no more."""
    if len(labels) <= most:
        return torch.arange(len(labels))
    order = torch.randperm(len(labels), generator=_draw(seed))
    of = [order[labels[order] == c] for c in labels.unique()]
    return torch.cat([rows[: max(1, round(len(rows) * most / len(labels)))] for rows in of]).sort().values


def _apart(source: Tensor, target: Tensor, poll: Callable[[], None]) -> dict[str, Figure]:
    """Distances of the two clouds; shuffled: of two clouds made of both alike."""
    sides = [x[torch.randperm(len(x), generator=_draw(0))[:MOST_APART]].double() for x in (source, target)]
    if min(map(len, sides)) < 4:
        return {}
    both = torch.cat(sides)
    side = torch.arange(len(both)) >= len(sides[0])

    def measured(distance: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        def many(x: Tensor, sides: Tensor) -> Tensor:
            found = [distance(x[~each], x[each]) for each in sides.view(-1, len(x))]
            return torch.stack(found).view(sides.shape[:-1])

        return many

    return {name: figure(measured(distance), both, side, poll) for name, distance in DISTANCES.items()}


def _draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
