"""Scores a net over few-shot episodes. Each episode draws some classes of the target, and a predictor classifies query
rows from a few labelled support rows."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from transfer_cli.engine.loader import Address, StepLoader
from transfer_cli.engine.stage_context import Job, StageContext
from transfer_cli.measures import Measure
from transfer_cli.models.tensors import pack
from transfer_cli.plugins import load_class

EPISODE_FLOATS = 30_000_000  # episodes are scored in chunks of about this many floats
Z95 = 1.959964
MEASURES = {"accuracy": Measure(unit="share", primary=True, watched=True, perfect=1.0)}


def episodes(job: Job, context: StageContext, claim: Any, rule: str, net: Any, test: StepLoader) -> dict[str, Any]:
    """Returns the mean accuracy over episodes with its 95 % interval, and stores the accuracy of each episode."""
    settings = dict(job.spec["predictor"])
    predictor = load_class("predictors", settings.pop("predictor"), job.plugins)(**settings)
    support, support_labels = context.loader(job, "target", "train", seed=job.seed).features(net)
    query, query_labels = test.features(net)
    shape = job.spec["episodes"]
    rng = Address(job.seed, "evaluate", "episodes").rng("draws", 0)
    drawn = draw_episodes(support_labels.cpu().numpy(), query_labels.cpu().numpy(), rng=rng, **shape)
    shares = _episode_accuracy(predictor, support, query, drawn, shape, context)
    claim.put(f"scores-{rule}.safetensors", pack({"accuracy": shares, "row.accuracy": shares.double()}, {}))
    half = Z95 * float(shares.std()) / len(shares) ** 0.5 if len(shares) > 1 else 0.0
    return {
        "metrics": {f"{job.spec.get('part', 'test')}/accuracy": float(shares.double().mean())},
        "primary": f"{job.spec.get('part', 'test')}/accuracy",
        "lower": False,
        "n": len(shares),
        "over": f"draws of {shape['way']}-way {shape['shots']}-shot",
        "ci95": half,
        "measures": {name: measure.as_json() for name, measure in MEASURES.items()},
        "parameters": sum(p.numel() for p in net.parameters()),
    }


def draw_episodes(
    support: np.ndarray, query: np.ndarray, *, way: int, shots: int, queries: int, draws: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the rows of `draws` episodes: first classes without replacement, then rows of each class. Depends only on
    the labels and on rng, so every net is scored on the same episodes. Returns positions of the support rows
    [E, way * shots] and of the query rows [E, way * queries], ordered by class within an episode."""
    classes = int(max(support.max(), query.max())) + 1
    rows_of = [(np.flatnonzero(support == c), np.flatnonzero(query == c)) for c in range(classes)]
    chosen_support, chosen_query = np.empty((draws, way, shots), np.int64), np.empty((draws, way, queries), np.int64)
    for episode in range(draws):
        for place, c in enumerate(rng.permutation(classes)[:way]):
            chosen_support[episode, place] = rng.permutation(rows_of[c][0])[:shots]
            chosen_query[episode, place] = rng.permutation(rows_of[c][1])[:queries]
    return chosen_support.reshape(draws, -1), chosen_query.reshape(draws, -1)


@torch.no_grad()
def _episode_accuracy(
    predictor: Any,
    support: Tensor,
    query: Tensor,
    drawn: tuple[np.ndarray, np.ndarray],
    shape: dict[str, int],
    context: StageContext,
) -> Tensor:
    """The accuracy [E] fp32 of each episode."""
    ways = torch.arange(shape["way"], device=support.device)
    support_labels, truth = ways.repeat_interleave(shape["shots"]), ways.repeat_interleave(shape["queries"])
    support_rows, query_rows = (torch.from_numpy(part).to(support.device) for part in drawn)
    chunk = max(1, EPISODE_FLOATS // ((support_rows.shape[1] + query_rows.shape[1]) * support.shape[1]))
    shares = []
    for rows, asked in zip(torch.split(support_rows, chunk), torch.split(query_rows, chunk), strict=True):
        context.stop()
        labels = support_labels.expand(len(rows), -1)
        scores = predictor.scores(support[rows], labels, query[asked], shape["way"])
        shares.append((scores.argmax(-1) == truth).float().mean(1))
    return torch.cat(shares).cpu()
