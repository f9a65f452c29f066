"""What the label-free rules look at: validation rows of the target without their labels, and of the source."""

from typing import Any

from torch import Tensor

from transfer_cli.engine import passes
from transfer_cli.engine.bench import Bench, Job
from transfer_cli.metrics.label_free import VALIDATORS, Judged
from transfer_cli.rules import LABEL_FREE


class LabelFree:
    """Scores of a net by every label-free rule of a stage, larger is better; {} where it has none."""

    def __init__(self, job: Job, bench: Bench) -> None:
        self.rules = [rule for rule in job.rules if rule in LABEL_FREE]
        self.precision = bench.precision(job)
        if self.rules:
            self.target = bench.feed(job, "target", "val", labelled=False, seed=job.seed)
            self.head = bench.task(job, "target").head
        self.source = None
        if any(LABEL_FREE[rule] for rule in self.rules):
            self.source = bench.feed(job, "source", "val", seed=job.seed)

    def __call__(self, net: Any) -> dict[str, float]:
        if not self.rules:
            return {}
        target, scores = self._seen(net, self.target)
        seen = Judged(target, scores)
        if self.source is not None:
            known, known_scores = self._seen(net, self.source)
            seen = Judged(target, scores, known, known_scores, self.source.items.labels)
        return {rule: VALIDATORS[rule](seen) for rule in self.rules}

    def _seen(self, net: Any, feed: Any) -> tuple[Tensor, Tensor]:
        features = passes.features(net, feed, self.precision)
        return features, net.heads[self.head](features).detach()
