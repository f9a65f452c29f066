"""What the label-free rules look at: validation rows of the target without their labels, and of the source."""

from typing import Any

from torch import Tensor

from transfer_cli.engine import inference
from transfer_cli.engine.stage_context import Job, StageContext
from transfer_cli.metrics.label_free import VALIDATORS, Judged
from transfer_cli.selection_rules import LABEL_FREE


class LabelFree:
    """Scores of a net by every label-free rule of a stage, larger is better; {} where it has none."""

    def __init__(self, job: Job, context: StageContext) -> None:
        self.rules = [rule for rule in job.rules if rule in LABEL_FREE]
        self.precision = context.precision(job)
        if self.rules:
            self.target = context.loader(job, "target", "val", labelled=False, seed=job.seed)
            self.head = context.task(job, "target").head
        self.source = None
        if any(LABEL_FREE[rule] for rule in self.rules):
            self.source = context.loader(job, "source", "val", seed=job.seed)

    def __call__(self, net: Any) -> dict[str, float]:
        if not self.rules:
            return {}
        target, scores = self._seen(net, self.target)
        seen = Judged(target, scores)
        if self.source is not None:
            known, known_scores = self._seen(net, self.source)
            seen = Judged(target, scores, known, known_scores, self.source.items.labels)
        return {rule: VALIDATORS[rule](seen) for rule in self.rules}

    def _seen(self, net: Any, loader: Any) -> tuple[Tensor, Tensor]:
        features = inference.features(net, loader, self.precision)
        return features, net.heads[self.head](features).detach()
