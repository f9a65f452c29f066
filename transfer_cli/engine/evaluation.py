"""The stage `evaluate`: scores test rows with the net's head or a predictor. With evaluate.part=val it scores
validation rows, with evaluate.way it scores few-shot episodes. The only stage that reads test rows. Scores are stored
per row for paired comparisons."""

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfer_cli.contracts import Batch, Rows
from transfer_cli.data.dataset import Part
from transfer_cli.engine import inference, views
from transfer_cli.engine.domains import domains
from transfer_cli.engine.episodes import episodes
from transfer_cli.engine.loader import StepLoader
from transfer_cli.engine.stage_context import Job, StageContext, model_file
from transfer_cli.models.tensors import pack
from transfer_cli.plugins import load_class
from transfer_cli.predictors.support import as_logits
from transfer_cli.seeds import seed_for
from transfer_cli.store.commit import read_manifest
from transfer_cli.task_contracts import Scoring, Task

LEAST = 0.01  # predicted probability of a label that no support row has
DRAWS = 200  # bootstrap samples for an interval without a closed form


def evaluate(job: Job, context: StageContext, claim: Any) -> None:
    """Scores every snapshot that the last training stage handed on. Writes results.json and one file of scores per
    selection rule. Raises DataError if the net's head does not fit the data."""
    spec = job.spec
    test = context.loader(job, "target", part_of(job), seed=job.seed)
    by_rule: dict[str, Any] = {}
    first_with: dict[str, str] = {}
    for rule, ref in spec["nets"].items():
        context.stop()
        same = first_with.setdefault(_content(ref, context), rule)
        # `scores` names the rule whose file contains the scores: two rules may have selected the same weights
        by_rule[rule] = by_rule[same] if same != rule else _one(job, context, claim, rule, ref, test) | {"scores": rule}
    results = {"rules": by_rule, "headline": spec["headline"], "task": context.task_settings(job, "target")}
    if "views" in spec:
        results["views"] = [{"net": rule} | row for rule, one in by_rule.items() for row in one["views"]]
        results["rules"] = {rule: {k: v for k, v in one.items() if k != "views"} for rule, one in by_rule.items()}
    if "domains" in spec:
        results["domains"] = domains(job, context, claim)
    claim.put_json("results.json", results)


def part_of(job: Job) -> Part:
    """The part of the target that is scored: "test" or "val"."""
    part: Part = job.spec.get("part", "test")
    return part


def _content(ref: dict[str, Any], context: StageContext) -> str:
    """Identifies the weights of a net: two rules may have selected the same weights, which are then scored once."""
    if "init" in ref:
        return json.dumps(ref)
    return str((read_manifest(context.store.path(ref["key"])) or {})[model_file(ref)][1])


def _one(
    job: Job, context: StageContext, claim: Any, rule: str, ref: dict[str, Any], test: StepLoader
) -> dict[str, Any]:
    net = context.net(job, ref).eval()
    if "episodes" in job.spec:
        return episodes(job, context, claim, rule, net, test)
    scoring = context.scoring(job, "target")
    rows = _rows(job, context, scoring, net, test)
    single = {f"row.{name}": value for name, value in scoring.per_row(rows).items()}
    claim.put(
        f"scores-{rule}.safetensors", pack({name: x.cpu().contiguous() for name, x in (rows | single).items()}, {})
    )
    return judged(scoring, rows, part_of(job)) | {
        "n": test.rows,
        "over": f"{part_of(job)} {test.items.noun}",
        "parameters": sum(p.numel() for p in net.parameters()),
        **_mistakes(job, scoring, rows),
        **({"views": _views(job, context, net, scoring, rows, test)} if "views" in job.spec else {}),
    }


def _views(
    job: Job, context: StageContext, net: Any, scoring: Scoring, rows: Rows, test: StepLoader
) -> list[dict[str, Any]]:
    """The metrics of one net in each view, one row per metric."""
    table, task = [], str(context.task_settings(job, "target")["task"])
    for name, part in views.rows_by_view(job, context, net, scoring, rows, test):
        count = len(next(iter(part.values())))
        table += views.long_rows(name, task, judged(scoring, part, part_of(job)), count)
    return table


def judged(scoring: Scoring, rows: Rows, part: str) -> dict[str, Any]:
    """The entry of one net in results.json: metrics by full name (`test/accuracy`), the measure of each metric, and
    95 % intervals; `ci95` is half the width of the interval of the primary metric."""
    metrics = scoring.metrics(rows)
    intervals = {name: ends for name in metrics if (ends := scoring.interval(rows, name)) is not None}
    primary = intervals.get(scoring.primary) or resampled(scoring, rows, scoring.primary)
    intervals |= {scoring.primary: primary} if primary else {}
    return {
        "metrics": {f"{part}/{name}": value for name, value in metrics.items()},
        "primary": f"{part}/{scoring.primary}",
        "lower": scoring.lower,
        "ci95": (primary[1] - primary[0]) / 2 if primary else None,
        "intervals": {f"{part}/{name}": list(ends) for name, ends in intervals.items()},
        "measures": {name: measure.as_json() for name, measure in scoring.measures.items()},
    }


def resampled(scoring: Scoring, rows: Rows, metric: str, draws: int = DRAWS) -> tuple[float, float] | None:
    """The 95 % percentile interval of a metric by the bootstrap over rows (Efron & Tibshirani 1993, 13.3); the samples
    are the same for every net. Samples in which the metric is undefined are ignored; None if there is no other."""
    count = len(next(iter(rows.values())))
    rng = np.random.Generator(np.random.Philox(key=seed_for(0, "bootstrap", count)))
    values = []
    for _ in range(draws):
        index = torch.from_numpy(rng.integers(0, count, count))
        value = scoring.metrics({name: x[index.to(x.device)] for name, x in rows.items()}).get(metric)
        values += [] if value is None else [value]
    if not values:
        return None
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def _rows(job: Job, context: StageContext, scoring: Scoring, net: Any, test: StepLoader) -> Rows:
    settings = dict(job.spec["predictor"])
    stem = settings.pop("predictor")
    if stem == "none":
        scoring.task.settle(net, job.data["target"].title)
        return inference.rows(net, scoring, test, context.precision(job))
    predictor = load_class("predictors", stem, job.plugins)(**settings)
    support, learned = context.loader(job, "target", "train", seed=job.seed).features(net)
    query, truth = test.features(net)
    answers = answered(predictor, scoring.task, support, learned, query)
    batch = Batch(
        {},
        None if test.items.targeted else truth,
        torch.arange(len(truth)),
        targets=truth if test.items.targeted else None,
    )
    return scoring.rows(answers, batch)


@torch.no_grad()
def answered(predictor: Any, task: Task, support: Tensor, learned: Tensor, query: Tensor) -> Tensor:
    """The predictions of a predictor for features `query` [Q, D], from labelled features `support` [M, D] with targets
    `learned`. In the form of the task's head: logits [Q, C] of classes, logits [Q, L] of labels, or numbers [Q, K]."""
    if "classes" in task.offers:
        return as_logits(predictor, predictor.scores(support[None], learned[None], query[None], len(task.names))[0])
    numbers: Tensor = predictor.numbers(support[None], learned[None], query[None])[0]
    return torch.logit(numbers, eps=LEAST) if "labels" in task.offers else numbers


def _mistakes(job: Job, scoring: Scoring, rows: Rows) -> dict[str, Any]:
    """Details that the scoring adds to the results, and for classes the pairs that are confused most often."""
    details = scoring.details(rows)
    return details | ({"confused": _confused(job, rows["scores"], rows["labels"])} if "confusion" in details else {})


def _confused(job: Job, scores: Tensor, labels: Tensor, most: int = 10) -> list[dict[str, Any]]:
    """The pairs of classes that are confused most often, each with the names of up to three rows."""
    predicted = scores.argmax(1).cpu().numpy()
    truth = labels.cpu().numpy()
    rows, classes = job.data["target"].rows(part_of(job), seed=job.seed), job.spec["classes"]
    pairs: dict[tuple[int, int], list[int]] = {}
    for row in np.flatnonzero(predicted != truth):
        pairs.setdefault((int(truth[row]), int(predicted[row])), []).append(int(row))
    worst = sorted(pairs.items(), key=lambda item: (-len(item[1]), item[0]))[:most]
    return [
        {
            "is": classes[true],
            "taken_for": classes[wrong],
            "count": len(mistakes),
            "rows": [rows.name(r) for r in mistakes[:3]],
        }
        for (true, wrong), mistakes in worst
    ]
