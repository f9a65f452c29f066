"""Self-training: the net is trained on its own confident predictions on the target."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated

from transfer_cli.contracts import Batch, Loss, MethodInputs, Progress, Range, Stream
from transfer_cli.losses.consistency import confident
from transfer_cli.methods._aligned import Aligned
from transfer_cli.methods._joined import joined


class PseudoLabel(Aligned):
    """Lee 2013, Pseudo-Label (ICML workshop on challenges in representation learning), eq. 15: source cross-entropy +
    weight * cross-entropy of target rows against their most probable class. The weight rises linearly over the first
    `ramp` of training (eq. 16). As in Sohn et al. 2020, arXiv:2001.07685, eq. 4, each step takes labels from the weak
    view where the largest probability is above `threshold`, and trains the strong view on them."""

    streams = {
        "source": Stream(),
        "target": Stream(labelled=False, views=("weak", "strong")),
        "few": Stream(side="target", optional=True),
    }

    def __init__(
        self,
        given: MethodInputs,
        *,
        weight: Annotated[float, Range(0)] = 1.0,
        threshold: Annotated[float, Range(0, 1)] = 0.95,
        ramp: Annotated[float, Range(0, 1)] = 0.3,
    ) -> None:
        super().__init__(given)
        self.weight, self.threshold, self.ramp = weight, threshold, ramp

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        target = batch["target"]
        twice = replace(target, inputs=joined(*target.views), index=target.index.repeat(2))
        both = self.both({**batch, "target": twice})
        weak, strong = both.target_scores.chunk(2)
        loss, share = confident(strong, weak, self.threshold)
        value = both.label_loss + self.weight * self._ramp_factor(at) * loss
        logs = {"label": both.label_loss, "pseudo": loss, "confident": share}
        yield Loss("net", value, logs, weight=len(batch["source"]))

    def _ramp_factor(self, at: Progress) -> float:
        return min(1.0, at.fraction / self.ramp) if self.ramp else 1.0
