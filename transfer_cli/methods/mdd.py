"""Margin disparity discrepancy: a second head that differs from the first on the target, agrees on the source."""

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Loss, MethodInputs, ParamGroup, Progress, Range
from transfer_cli.losses.adversarial import gradient_reversal, ramp_up
from transfer_cli.methods._aligned import Aligned


class Mdd(Aligned):
    """Zhang et al. 2019, arXiv:1904.05801, eqs. 29 and 30: source cross-entropy + weight * (margin * the second head's
    loss on the source + its loss of being unlike the first on the target), behind a gradient reversal. `margin` is
    gamma, exp of the margin; the second head is two layers of `hidden` and learns in full, while `reversal` of its
    gradient, risen over the first `ramp` of training, reaches the features (0.1 in the authors' code)."""

    def __init__(
        self,
        given: MethodInputs,
        *,
        weight: Annotated[float, Range(0)] = 1.0,
        margin: Annotated[float, Range(1)] = 4.0,
        reversal: Annotated[float, Range(0)] = 0.1,
        ramp: Annotated[float, Range(0, 1)] = 0.1,
        hidden: Annotated[int, Range(1)] = 1024,
    ) -> None:
        super().__init__(given)
        self.weight, self.margin, self.reversal, self.ramp = weight, margin, reversal, ramp
        classes = self.net.heads[self.task.head].out_features
        self.rival = nn.Sequential(nn.Linear(given.net.width, hidden), nn.ReLU(), nn.Linear(hidden, classes))

    def param_groups(self) -> dict[str, ParamGroup]:
        return {"net": [self.net], "rival": [self.rival]}

    def step(self, batch: dict[str, Batch], at: Progress) -> Iterator[Loss]:
        both = self.both(batch)
        strength = self.reversal * ramp_up(at.fraction, self.ramp)
        rival = self.rival(gradient_reversal(both.features, strength)).float()
        near, far = rival.split([len(both.source), len(both.target)])
        alike = nn.functional.cross_entropy(near, both.source_scores.argmax(1))
        unlike = _unlike(far, both.target_scores.argmax(1))
        gap = self.margin * alike + unlike
        logs = {"label": both.label_loss, "disparity": gap}
        yield Loss(("net", "rival"), both.label_loss + self.weight * gap, logs, weight=len(batch["source"]))


def _unlike(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean of -log(1 - p) of the labels' classes, from scores [B, C] without cancellation."""
    others = scores.scatter(1, labels[:, None], -torch.inf).logsumexp(1)
    return (scores.logsumexp(1) - others).mean()
