"""Scores for the label-free selection rules. They read validation rows of the target without labels, and of the source
with labels."""

from typing import Any

from torch import Tensor

from transfer_cli.engine import inference
from transfer_cli.engine.stage_context import Job, StageContext
from transfer_cli.metrics.label_free import VALIDATORS, Judged
from transfer_cli.selection_rules import LABEL_FREE


class LabelFree:
    """Called with a net: returns its score by each label-free rule of the stage, larger is better; {} without such
    rules."""

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
        target, scores = self._outputs(net, self.target)
        outputs = Judged(target, scores)
        if self.source is not None:
            source, source_scores = self._outputs(net, self.source)
            outputs = Judged(target, scores, source, source_scores, self.source.items.labels)
        return {rule: VALIDATORS[rule](outputs) for rule in self.rules}

    def _outputs(self, net: Any, loader: Any) -> tuple[Tensor, Tensor]:
        """Features [N, D] and scores [N, C] of all rows of a loader."""
        features = inference.features(net, loader, self.precision)
        return features, net.heads[self.head](features).detach()
