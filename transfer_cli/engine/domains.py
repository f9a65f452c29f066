"""How far apart source and target lie in the features, before an alignment and after it: numbers and a picture of 2
axes. Diagnosis only: it chooses nothing, and reads no labels of the target but to colour the picture."""

from typing import Any

import torch
from torch import Tensor

from transfer_cli.engine import inference
from transfer_cli.engine.stage_context import Job, StageContext
from transfer_cli.metrics.domains import domain_accuracy, principal_axes, proxy_a_distance
from transfer_cli.models.tensors import pack

MOST = 500  # rows of a side, evenly taken


def domains(job: Job, context: StageContext, claim: Any) -> dict[str, Any]:
    """{"before": {"domain_accuracy", "a_distance"}, "after": ...}, and domains.safetensors: the two principal axes of
    both sides together [N, 2], [M, 2], with labels. Raises what reading a net or rows raises."""
    wants = job.spec["domains"]
    loaders = {
        "source": context.loader(job, "source", wants["source_part"], seed=job.seed),
        "target": context.loader(job, "target", job.spec.get("part", "test"), seed=job.seed),
    }
    facts: dict[str, Any] = {}
    kept = {f"labels.{side}": _few(loader.items.labels) for side, loader in loaders.items()}
    for when in ("before", "after"):
        net = context.net(job, wants[when])
        seen = {side: _few(inference.features(net, loader, context.precision(job))) for side, loader in loaders.items()}
        facts[when] = {"domain_accuracy": domain_accuracy(**seen), "a_distance": proxy_a_distance(**seen)}
        axes = principal_axes(torch.cat([seen["source"], seen["target"]]))[0].float()
        near, far = axes.split([len(seen["source"]), len(seen["target"])])
        kept |= {f"{when}.source": near, f"{when}.target": far}
    claim.put("domains.safetensors", pack({name: x.cpu().contiguous() for name, x in kept.items()}, {}))
    return facts


def _few(rows: Tensor) -> Tensor:
    return rows[:: -(-len(rows) // MOST)]
