"""Transferability scores of a net for a target, computed before any training. Each score has a standard error, values
for shuffled labels, and its computing time. Reads only training rows, through the feature cache."""

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
MOST_ROWS = 2_000  # rows that are scored; more rows would not change the order of candidates
MOST_APART = 500  # rows per domain for distances
OF_FEATURES = {
    "logme": logme, "h_score_shrunk": h_score_shrunk, "probe": probe, "nearest": nearest, "transrate": transrate,
    "h_score": h_score,
}  # fmt: skip
OF_CLASSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"leep": leep, "nce": lambda p, y: nce(p.argmax(1), y)}
DISTANCES = {"mmd": mmd, "coral": coral, "a_distance": a_distance}


@dataclass(frozen=True)
class Figure:
    """A score: its `value`, its standard `error` with `freedom` degrees of freedom, its values for `shuffled` labels,
    and the `seconds` that computing the value took."""

    value: float
    error: float
    freedom: int
    shuffled: list[float]
    seconds: float


@dataclass(frozen=True)
class Ranked:
    """The results for one candidate: `scores` by name, `distances` by name (empty without a source), the number of
    scored `rows` out of `of` training rows, and the seconds `features_s` that extracting features took."""

    rows: int
    of: int
    features_s: float
    scores: Mapping[str, Figure] = field(default_factory=dict)
    distances: Mapping[str, Figure] = field(default_factory=dict)


def net_of(context: StageContext, job: Job, ref: Mapping[str, Any]) -> Any:
    """The initial net of a candidate: from a weights file, from a stage in the store, or randomly initialised. Raises
    StoreError for weights that do not fit the model."""
    if job.weights is None:
        return context.net(job, dict(ref)).eval()
    net = context.net(job, {"init": 0})
    load(net, job.weights)
    return net.eval()


@torch.no_grad()
def ranked(context: StageContext, job: Job, net: Any, *, every: bool = False) -> Ranked:
    """Scores `net` on the labelled training rows of the target (at most MOST_ROWS, or all with `every`), and measures
    the distances between source and target features. The rows and the shuffled labels are the same for every net."""
    features, labels, seconds = _features(context.loader(job, "target", "train", seed=job.seed), net)
    of = len(labels)
    chosen = torch.arange(of) if every else stratified_sample(labels, MOST_ROWS)
    x, y = features[chosen], labels[chosen]
    scores = {name: figure(score, x, y, context.stop) for name, score in OF_FEATURES.items()}
    if HEAD in net.heads:
        head = net.head(HEAD)
        probabilities = linear(x, head.weight.cpu(), head.bias.cpu()).double().softmax(1)
        scores |= {name: figure(score, probabilities, y, context.stop) for name, score in OF_CLASSES.items()}
    distances: dict[str, Figure] = {}
    if "source" in job.data:
        source_features, source_seconds = _source(context, job, net)
        seconds += source_seconds
        distances = _distances(source_features, x, context.stop)
    return Ranked(len(y), of, seconds, scores, distances)


def _source(context: StageContext, job: Job, net: Any) -> tuple[Tensor, float]:
    """Features of the source's validation rows, on which the net was not trained; of its training rows if there are no
    validation rows. Also returns the seconds that it took."""
    data: DataSet = job.data["source"]
    part = "val" if data.has("val", labelled=False) else "train"
    features, _, seconds = _features(context.loader(job, "source", part, labelled=False), net)
    return features, seconds


def _features(loader: Loader, net: Any) -> tuple[Tensor, Tensor, float]:
    start = time.perf_counter()
    features, labels = loader.features(net)
    return features.cpu(), labels.cpu(), time.perf_counter() - start


def figure(
    score: Callable[[Tensor, Tensor], Tensor], x: Tensor, labels: Tensor, poll: Callable[[], None] = lambda: None
) -> Figure:
    """A score of x [N, D] and labels [N]. The standard error is that of the delete-d jackknife, which omits a fifth of
    the rows of each class (Shao & Wu 1989, Ann. Statist. 17). A bootstrap is not used, because its samples contain
    copies of rows: nearest neighbours would match the copies, and a fit in many dimensions would memorise them."""
    start = time.perf_counter()
    value = float(score(x, labels))
    seconds = time.perf_counter() - start
    poll()
    shuffled = score(x, torch.stack([labels[torch.randperm(len(labels), generator=_draw(s))] for s in range(SHUFFLES)]))
    thinned = []
    for number in range(THINNED):
        poll()
        chosen = stratified_sample(labels, round(KEPT * len(labels)), seed=number)
        thinned.append(score(x[chosen], labels[chosen]))
    error = float(torch.stack(thinned).std()) * sqrt(KEPT / (1 - KEPT))
    return Figure(value, error, THINNED - 1, shuffled.tolist(), seconds)


def stratified_sample(labels: Tensor, most: int, seed: int = 0) -> Tensor:
    """Positions of about `most` rows, ascending: the same fraction of each class, at least one row each. All rows if
    there are at most `most`."""
    if len(labels) <= most:
        return torch.arange(len(labels))
    order = torch.randperm(len(labels), generator=_draw(seed))
    by_class = [order[labels[order] == c] for c in labels.unique()]
    return torch.cat([rows[: max(1, round(len(rows) * most / len(labels)))] for rows in by_class]).sort().values


def _distances(source: Tensor, target: Tensor, poll: Callable[[], None]) -> dict[str, Figure]:
    """The distances between features [N, D] of source and target. For the `shuffled` values, rows of both are assigned
    to the two domains at random."""
    sides = [x[torch.randperm(len(x), generator=_draw(0))[:MOST_APART]].double() for x in (source, target)]
    if min(map(len, sides)) < 4:
        return {}
    both = torch.cat(sides)
    side = torch.arange(len(both)) >= len(sides[0])

    def measured(distance: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        def many(x: Tensor, sides: Tensor) -> Tensor:
            distances = [distance(x[~each], x[each]) for each in sides.view(-1, len(x))]
            return torch.stack(distances).view(sides.shape[:-1])

        return many

    return {name: figure(measured(distance), both, side, poll) for name, distance in DISTANCES.items()}


def _draw(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
