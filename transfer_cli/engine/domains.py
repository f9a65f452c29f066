"""The distance between source and target features before and after an alignment. Returns numbers, and writes points for
a two-dimensional plot. For diagnosis only: nothing is selected by it, and labels of the target only colour the plot."""

from typing import Any

import torch
from torch import Tensor

from transfer_cli.engine import inference
from transfer_cli.engine.stage_context import Job, StageContext
from transfer_cli.metrics.domains import domain_accuracy, principal_axes, proxy_a_distance
from transfer_cli.models.tensors import pack

MOST = 500  # rows per domain, evenly spaced


def domains(job: Job, context: StageContext, claim: Any) -> dict[str, Any]:
    """Returns {"before": {"domain_accuracy", "a_distance"}, "after": ...} and writes domains.safetensors: coordinates
    of both domains on their two common principal axes, [N, 2] and [M, 2], and their labels. Raises StoreError for a net
    and DataError for rows that cannot be read."""
    settings = job.spec["domains"]
    loaders = {
        "source": context.loader(job, "source", settings["source_part"], seed=job.seed),
        "target": context.loader(job, "target", job.spec.get("part", "test"), seed=job.seed),
    }
    facts: dict[str, Any] = {}
    stored = {f"labels.{side}": _few(loader.items.labels) for side, loader in loaders.items()}
    for when in ("before", "after"):
        net, precision = context.net(job, settings[when]), context.precision(job)
        features = {side: _few(inference.features(net, loader, precision)) for side, loader in loaders.items()}
        facts[when] = {"domain_accuracy": domain_accuracy(**features), "a_distance": proxy_a_distance(**features)}
        axes = principal_axes(torch.cat([features["source"], features["target"]]))[0].float()
        source, target = axes.split([len(features["source"]), len(features["target"])])
        stored |= {f"{when}.source": source, f"{when}.target": target}
    claim.put("domains.safetensors", pack({name: x.cpu().contiguous() for name, x in stored.items()}, {}))
    return facts


def _few(rows: Tensor) -> Tensor:
    return rows[:: -(-len(rows) // MOST)]
