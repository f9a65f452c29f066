"""Margin disparity discrepancy: an adversarial head agrees with the main head on the source and disagrees on the
target."""

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor, nn

from transfer_cli.contracts import Batch, Loss, MethodInputs, ParamGroup, Progress, Range
from transfer_cli.losses.adversarial import gradient_reversal, ramp_up
from transfer_cli.methods._aligned import Aligned


class Mdd(Aligned):
    """Zhang et al. 2019, arXiv:1904.05801, eqs. 29 and 30: source cross-entropy + weight * (margin * the adversarial
    head's loss of agreeing on the source + its loss of disagreeing on the target), computed after a gradient reversal.

    `margin`: gamma, the exponential of the margin. The adversarial head has two layers of width `hidden` and gets the
    full gradient; the features get `reversal` times its reversed gradient, which rises over the first `ramp` of
    training (0.1 in the authors' code)."""

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
        source_rival, target_rival = rival.split([len(both.source), len(both.target)])
        agreement = nn.functional.cross_entropy(source_rival, both.source_scores.argmax(1))
        disagreement = _disagreement(target_rival, both.target_scores.argmax(1))
        disparity = self.margin * agreement + disagreement
        logs = {"label": both.label_loss, "disparity": disparity}
        yield Loss(("net", "rival"), both.label_loss + self.weight * disparity, logs, weight=len(batch["source"]))


def _disagreement(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean () of -log(1 - p) for the probability p of the given labels, computed from scores [B, C] without
    cancellation."""
    others = scores.scatter(1, labels[:, None], -torch.inf).logsumexp(1)
    return (scores.logsumexp(1) - others).mean()
