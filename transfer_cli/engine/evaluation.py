"""The evaluate stage: test rows of the target (validation rows, where that is asked for) scored by the net's head, by a
predictor, or over few-shot episodes. The only stage that reads test. Scores are kept per row, for paired
comparisons."""

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfer_cli.contracts import Task
from transfer_cli.data.dataset import Part
from transfer_cli.engine import inference
from transfer_cli.engine.device import reseed
from transfer_cli.engine.domains import domains
from transfer_cli.engine.loader import Address, StepLoader
from transfer_cli.engine.stage_context import Job, StageContext, model_file
from transfer_cli.metrics.classification import confusion
from transfer_cli.models.tensors import pack
from transfer_cli.plugins import load_class
from transfer_cli.predictors.support import as_logits
from transfer_cli.seeds import seed_for
from transfer_cli.store.commit import read_manifest

EPISODE_FLOATS = 30_000_000  # episodes are scored in chunks of about this many numbers
Z95 = 1.959964


def evaluate(job: Job, context: StageContext, claim: Any) -> None:
    """Scores every snapshot handed on; writes results.json and one file of scores a rule."""
    spec = job.spec
    test = context.loader(job, "target", part_of(job), seed=job.seed)
    found: dict[str, Any] = {}
    seen: dict[str, str] = {}
    for rule, ref in spec["nets"].items():
        context.stop()
        same = seen.setdefault(_content(ref, context), rule)
        # `scores` names the rule whose file holds them: two rules may have kept the same weights
        found[rule] = found[same] if same != rule else _one(job, context, claim, rule, ref, test) | {"scores": rule}
    results = {"rules": found, "headline": spec["headline"]}
    if "domains" in spec:
        results["domains"] = domains(job, context, claim)
    claim.put_json("results.json", results)


def part_of(job: Job) -> Part:
    """The part of the target that is scored."""
    part: Part = job.spec.get("part", "test")
    return part


def _content(ref: dict[str, Any], context: StageContext) -> str:
    """Two rules may have kept the same weights: those are scored once."""
    if "init" in ref:
        return json.dumps(ref)
    return str((read_manifest(context.store.path(ref["key"])) or {})[model_file(ref)][1])


def _one(
    job: Job, context: StageContext, claim: Any, rule: str, ref: dict[str, Any], test: StepLoader
) -> dict[str, Any]:
    net = context.net(job, ref).eval()
    if "episodes" in job.spec:
        return _episodes(job, context, claim, rule, net, test)
    task = context.task(job, "target")
    rows = _rows(job, context, task, net, test)
    claim.put(f"scores-{rule}.safetensors", pack({name: value.cpu() for name, value in rows.items()}, {}))
    metrics, part = task.metrics(rows), part_of(job)
    return {
        "metrics": {f"{part}/{name}": value for name, value in metrics.items()},
        "primary": f"{part}/{task.primary}",
        "lower": task.lower,
        "n": test.rows,
        "over": f"{part} {test.items.noun}",
        "ci95": task.half_width(rows, metrics),
        "parameters": sum(p.numel() for p in net.parameters()),
        **(_mistakes(job, rows["scores"], rows["labels"]) if "scores" in rows else {}),
    }


def _rows(job: Job, context: StageContext, task: Task, net: Any, test: StepLoader) -> dict[str, Tensor]:
    settings = dict(job.spec["predictor"])
    stem = settings.pop("predictor")
    if stem == "none":
        settle_head(net, task, job.data["target"].title)
        return inference.rows(net, task, test, context.precision(job))
    predictor = load_class("predictors", stem, job.plugins)(**settings)
    support, labels = context.loader(job, "target", "train", seed=job.seed).features(net)
    query, truth = test.features(net)
    with torch.no_grad():
        scores: Tensor = predictor.scores(support[None], labels[None], query[None], len(job.spec["classes"]))
    return {"scores": as_logits(predictor, scores[0]), "labels": truth}


def settle_head(net: Any, task: Task, title: str) -> None:
    """Makes sure the net has a head that speaks of the task; one without head gets a fresh one. Raises DataError where
    the head is of another task."""
    if task.head not in net.heads:
        reseed(seed_for(0, "evaluate", task.head, bits=32))  # predict must draw the same one
        task.prepare(net)
    task.settle(net, title)


def _mistakes(job: Job, scores: Tensor, labels: Tensor) -> dict[str, Any]:
    return {"confusion": confusion(scores, labels).tolist(), "confused": _confused(job, scores, labels)}


def _confused(job: Job, scores: Tensor, labels: Tensor, most: int = 10) -> list[dict[str, Any]]:
    """The class pairs confused most often, each with up to three rows by name."""
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
            "count": len(found),
            "rows": [rows.name(r) for r in found[:3]],
        }
        for (true, wrong), found in worst
    ]


def _episodes(job: Job, context: StageContext, claim: Any, rule: str, net: Any, test: StepLoader) -> dict[str, Any]:
    settings = dict(job.spec["predictor"])
    predictor = load_class("predictors", settings.pop("predictor"), job.plugins)(**settings)
    support, support_labels = context.loader(job, "target", "train", seed=job.seed).features(net)
    query, query_labels = test.features(net)
    wants = job.spec["episodes"]
    rng = Address(job.seed, "evaluate", "episodes").rng("draws", 0)
    drawn = draw_episodes(support_labels.cpu().numpy(), query_labels.cpu().numpy(), rng=rng, **wants)
    shares = _episode_accuracy(predictor, support, query, drawn, wants, context)
    claim.put(f"scores-{rule}.safetensors", pack({"accuracy": shares}, {}))
    half = Z95 * float(shares.std()) / len(shares) ** 0.5 if len(shares) > 1 else 0.0
    return {
        "metrics": {f"{part_of(job)}/accuracy": float(shares.double().mean())},
        "primary": f"{part_of(job)}/accuracy",
        "lower": False,
        "n": len(shares),
        "over": f"draws of {wants['way']}-way {wants['shots']}-shot",
        "ci95": half,
        "parameters": sum(p.numel() for p in net.parameters()),
    }


def draw_episodes(
    support: np.ndarray, query: np.ndarray, *, way: int, shots: int, queries: int, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `draws` episodes: classes without replacement, then rows of each. Depends on the labels' positions and
    on rng only, so every net is asked the same. Returns support rows [E, way * shots], query rows [E, way * queries],
    ordered by class within an episode."""
    classes = int(max(support.max(), query.max())) + 1
    of = [(np.flatnonzero(support == c), np.flatnonzero(query == c)) for c in range(classes)]
    chosen_support, chosen_query = np.empty((draws, way, shots), np.int64), np.empty((draws, way, queries), np.int64)
    for episode in range(draws):
        for place, c in enumerate(rng.permutation(classes)[:way]):
            chosen_support[episode, place] = rng.permutation(of[c][0])[:shots]
            chosen_query[episode, place] = rng.permutation(of[c][1])[:queries]
    return chosen_support.reshape(draws, -1), chosen_query.reshape(draws, -1)


@torch.no_grad()
def _episode_accuracy(
    predictor: Any,
    support: Tensor,
    query: Tensor,
    drawn: tuple[np.ndarray, np.ndarray],
    wants: dict[str, int],
    context: StageContext,
) -> Tensor:
    """Accuracy [E] fp32 of every episode."""
    ways = torch.arange(wants["way"], device=support.device)
    support_labels, truth = ways.repeat_interleave(wants["shots"]), ways.repeat_interleave(wants["queries"])
    rows, asked = (torch.from_numpy(part).to(support.device) for part in drawn)
    chunk = max(1, EPISODE_FLOATS // ((rows.shape[1] + asked.shape[1]) * support.shape[1]))
    shares = []
    for near, far in zip(torch.split(rows, chunk), torch.split(asked, chunk), strict=True):
        context.stop()
        labels = support_labels.expand(len(near), -1)
        scores = predictor.scores(support[near], labels, query[far], wants["way"])
        shares.append((scores.argmax(-1) == truth).float().mean(1))
    return torch.cat(shares).cpu()
